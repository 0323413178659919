"""VPT: extra learned tokens among the patches of a frozen vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.adapt.prompting import frozen, importance, tune
from clipkit.errors import ClipkitError
from clipkit.models.towers import blocks, captured_inputs


class VisualPrompts:
    """Learned tokens behind the class token of a vision transformer; the text side stays as it is.

    Shallow: M tokens enter before the first block (they pass the tower's pre-norm like every other token, and get no
    position). Deep: each block gets M tokens of its own in their place. They are taken out before pooling, so a tower
    that averages its patches averages patches only. With M = 0 the tower is as it was. With M tokens of any value,
    zeros included, it is not: the patches attend to them too.

    Args:
        model: a DualEncoder with a ViT (open_clip's or timm's). n: M. deep: tokens in every block.
        std, seed: of the random start, N(0, std) as in the paper. start: pixels (N, 3, H, W) of some pictures, to start
            from the mean of the patch tokens they have at that place, plus N(0, std): a random token of M unlike all
            patches draws attention and can undo a small tower before training begins; the mean hardly disturbs it.

    Attributes:
        prompts: float32 leaf (1, M, W), or (layers, M, W) when deep. After `fit`: losses_, text_weights_.

    Raises ClipkitError for a tower without attention or a negative n.

    Source: arXiv:2203.12119, eq. 4–8 (shallow and deep). The tokens stand before the pre-norm, as in the CLIP versions
    of arXiv:2306.01669 and arXiv:2210.03117.
    """

    def __init__(self, model, n: int = 8, deep: bool = False, std: float = 0.02, seed: int = 0, start: Tensor | None = None):
        checks.at_least(0, n=n)
        self.model, self._visual = model, getattr(model.module, "visual", None)
        self._blocks = list(blocks(self._visual))
        trunk = getattr(self._visual, "trunk", None)
        self._first = 1 if trunk is None else int(getattr(trunk, "num_prefix_tokens", 0))  # tokens before the patches
        self._norm = self._visual.ln_pre if trunk is None else getattr(trunk, "norm_pre", nn.Identity())
        transformer = getattr(self._visual, "transformer", None)
        self._length_first = transformer is not None and not getattr(transformer, "batch_first", True)
        width = next(p.shape[0] for name, p in self._blocks[0].named_parameters() if name.endswith(("ln_1.weight", "norm1.weight")))
        generator = torch.Generator().manual_seed(seed)
        prompts = std * torch.randn(len(self._blocks) if deep else 1, n, width, generator=generator)
        prompts = prompts.to(model.device)
        if start is not None:
            prompts = prompts + self._mean_tokens(start)[: len(prompts), None]
        self.prompts = prompts.requires_grad_()
        self._initial = self.prompts.detach().clone()

    @torch.no_grad()
    def _mean_tokens(self, pixels: Tensor) -> Tensor:
        """(layers, W) mean patch token where prompts enter: before the pre-norm, then before each further block."""
        with captured_inputs([self._norm, *self._blocks[1:]]) as seen:
            self.model.encode_image(pixels)
        batches = [seen[0], *(x.transpose(0, 1) if self._length_first else x for x in seen[1:])]
        return torch.stack([x[:, self._first :].float().mean((0, 1)) for x in batches])

    def image_features(self, pixels: Tensor) -> Tensor:
        """Unit-norm features (N, D) of pixels (N, 3, H, W) under the prompts; gradients flow to `prompts` and to the pixels."""
        handles = []
        if self.prompts.shape[1]:
            tokens = self._norm_frozen(self.prompts)
            for i, t in enumerate(tokens):
                handles.append(self._blocks[i].register_forward_pre_hook(self._enter(i, t), with_kwargs=True))
            handles.append(self._blocks[-1].register_forward_hook(lambda block, args, out: self._without(out)))
        try:
            with self._held():
                return self.model.encode_image(pixels)
        finally:
            for handle in handles:
                handle.remove()

    def _held(self):
        """What stays fixed while a picture passes: all weights of the tower (a subclass may let some of them learn)."""
        return frozen(self.model.module)

    def _norm_frozen(self, prompts: Tensor) -> Tensor:
        with self._held():
            first = self._norm(prompts[:1].to(self.model.dtype))
        return torch.cat([first, prompts[1:].to(self.model.dtype)])

    def _enter(self, layer: int, tokens: Tensor):
        def hook(block, args, kwargs):
            x = args[0] if args else kwargs["x"]
            x = x.transpose(0, 1) if self._length_first else x
            rest = x if layer == 0 else self._cut(x)
            x = torch.cat([rest[:, : self._first], tokens.expand(len(x), -1, -1).to(x), rest[:, self._first :]], dim=1)
            x = x.transpose(0, 1) if self._length_first else x
            return ((x, *args[1:]), kwargs) if args else (args, {**kwargs, "x": x})

        return hook

    def _cut(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, : self._first], x[:, self._first + self.prompts.shape[1] :]], dim=1)

    def _without(self, x: Tensor) -> Tensor:
        return self._cut(x.transpose(0, 1)).transpose(0, 1) if self._length_first else self._cut(x)

    def fit(
        self,
        pixels: Tensor,
        labels: Tensor,
        text_weights: Tensor,
        weights: Tensor | None = None,
        steps: int = 100,
        lr: float = 0.01,
        batch: int | None = 32,
        optimizer: str = "sgd",
        weight_decay: float = 0.0,
        warmup: int = 5,
        seed: int = 0,
        warm_start: bool = False,
    ) -> VisualPrompts:
        """Cross-entropy of the prompted pictures against fixed `text_weights` (C, D); arguments as in `PromptLearner.fit`.

        Raises ClipkitError: wrong shapes, NaN, a label out of range, no prompts (n = 0), an unknown optimizer.
        """
        if not self.prompts.shape[1]:
            raise ClipkitError("n=0 visual prompts leave nothing to learn; give n of at least 1")
        w = checks.features(text_weights, "text weights", self.model.embed_dim).detach().to(self.prompts)
        y = checks.labels(labels, len(pixels), len(w)).to(w.device)
        n, shares, scale = len(y), importance(weights, len(y)).to(w), self.model.logit_scale.detach()
        if not warm_start:
            with torch.no_grad():
                self.prompts.copy_(self._initial)

        def loss(rows: Tensor | slice) -> Tensor:
            each = F.cross_entropy(scale * self.image_features(pixels[rows]) @ w.T, y[rows], reduction="none")
            return (shares[rows] * (n / len(each)) * each).sum()

        self.losses_ = tune(self.prompts, loss, n, steps, lr, batch, optimizer, weight_decay, warmup, seed)
        self.text_weights_ = w
        return self

    @torch.no_grad()
    def predict_logits(self, pixels: Tensor, batch: int = 256) -> Tensor:
        """(M, C) logits of pixels (M, 3, H, W). Raises ClipkitError before `fit`."""
        w = checks.fitted(self, "text_weights_")
        parts = [self.image_features(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
        return self.model.logit_scale * torch.cat(parts) @ w.T


def refusal(model) -> str:
    """Why visual prompts cannot be tried on a model; "" when they can."""
    try:
        VisualPrompts(model, 1)
    except ClipkitError as error:
        return str(error)
    return ""
