"""CoOp: the words of a prompt as free vectors, learned through the frozen text tower on cached image features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from clipkit.errors import ClipkitError
from clipkit.models.prefix_packing import can_pack, encode_packed
from clipkit.zeroshot import fill_templates


class PromptLearner:
    """Learned context vectors in front of the class names (class name at the end).

    The prompt of class c is [start][v_1] … [v_M][words of the name][rest][end]; only the v are learned. They start from
    random numbers (`n_ctx` of them, N(0, std)) or, with `template`, from the words before its {}: then the untrained
    learner *is* that template. Works on any DualEncoder with a text tower; its weights are never changed.

    Args:
        model: a DualEncoder. classnames: C names.
        n_ctx: M, vectors a context; the template's own number of tokens when a template is given.
        template: None for a random start, or a prompt with words before its {}.
        class_specific: one context a class (CSC), else one for all.
        suffix: what stands behind the name at a random start; a template brings its own.
        std, seed: of the random start. chunk: classes encoded at once; with more, each chunk is computed again for its
            gradient, so that memory does not grow with the number of classes.

    Attributes:
        context: float32 leaf (M, W), or (C, M, W) when class-specific; W is the width of the text tower.
        After `fit`: text_features_ (C, D), losses_ (steps,) list of float.

    Raises ClipkitError: no or duplicate names, prompts longer than the model's context (names the class), no words
    before the template's {}.

    Source: arXiv:2109.01134, eq. 2–3 (unified and class-specific context, class token at the end).
    """

    def __init__(
        self,
        model,
        classnames: Sequence[str],
        n_ctx: int = 16,
        template: str | None = None,
        class_specific: bool = False,
        suffix: str = ".",
        std: float = 0.02,
        seed: int = 0,
        chunk: int = 256,
    ):
        if n_ctx < 1 or chunk < 1:
            raise ClipkitError(f"a prompt needs at least one context vector and a chunk one class; got n_ctx={n_ctx}, chunk={chunk}")
        self.model, self.classnames, self.chunk = model, list(classnames), chunk
        prompts = [row[0] for row in fill_templates(self.classnames, ["{}" + suffix if template is None else template])]
        start = _shared(model.tokenize(["cat", "photo", "the"]))  # tokens every text begins with: 1 for CLIP, 0 for T5
        if template is None:
            self.tokens, self._at = _with_slots(model, self.classnames, prompts, n_ctx, start), start
        else:
            self.tokens, self._at = _prompt_tokens(model, self.classnames, prompts), start
            n_ctx = _shared(torch.cat([self.tokens, model.tokenize([template.split("{}")[0].strip()])])) - start
            if n_ctx < 1:
                raise ClipkitError(f"template {template!r} has no words before {{}} to start a context from; write some, or leave it out")
        if can_pack(model.module):  # such a tower reads nothing behind the end of text
            self.tokens = self.tokens[:, : int(self.tokens.argmax(1).max()) + 1]
        with torch.no_grad():
            self._words = model.token_embeddings(self.tokens).detach()  # (C, L, W)
        self._after = start + n_ctx
        if template is None:
            generator = torch.Generator().manual_seed(seed)
            shape = (len(self.classnames) if class_specific else 1, n_ctx, self._words.shape[-1])
            context = std * torch.randn(shape, generator=generator).to(self._words.device)
        else:
            context = self._words[: len(self.classnames) if class_specific else 1, start : self._after].float()
        self.context = (context.clone() if class_specific else context[0].clone()).requires_grad_()
        self._initial = self.context.detach().clone()
        self._shares = not class_specific and can_pack(model.module)
        if self._shares:
            self._end = self.tokens.argmax(1).to(self._words.device) + 1 - self._after  # words behind the context, end of text included
            self._endings = self._words[:, self._after : self._after + int(self._end.max())]

    def text_features(self) -> Tensor:
        """Unit-norm features (C, D) float32 of the prompts; gradients flow to `context` and nowhere else."""
        count = len(self.classnames)
        if count <= self.chunk:
            return self._encode(self.context, slice(None))
        rows = [slice(i, i + self.chunk) for i in range(0, count, self.chunk)]
        return torch.cat([checkpoint(self._encode, self.context, some, use_reentrant=False) for some in rows])

    def _encode(self, context: Tensor, rows: slice) -> Tensor:
        with frozen(self.model.module):
            context = context.to(self._words.dtype)
            if self._shares:
                beginning = torch.cat([self._words[0, : self._at], context])
                return F.normalize(encode_packed(self.model.module, beginning, self._endings[rows], self._end[rows]).float(), dim=-1)
            words = self._words[rows]
            context = (context if context.ndim == 2 else context[rows]).expand(len(words), -1, -1)
            mixed = torch.cat([words[:, : self._at], context, words[:, self._after :]], dim=1)  # (c, L, W)
            return self.model.encode_token_embeddings(mixed, self.tokens[rows])

    def logits(self, features: Tensor) -> Tensor:
        """(N, C) logits of image features (N, D) with the present context, gradients included."""
        w = self.text_features()
        return self.model.logit_scale.detach() * checked_features(features, w.shape[1]).to(w) @ w.T

    def fit(
        self,
        features: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        steps: int = 100,
        lr: float = 0.002,
        batch: int | None = None,
        optimizer: str = "sgd",
        weight_decay: float = 0.0,
        warmup: int = 5,
        seed: int = 0,
        warm_start: bool = False,
    ) -> PromptLearner:
        """Cross-entropy on image features (N, D) and labels (N,), from the starting context (or, with `warm_start`, the present one).

        The loss is sum_i weights_i CE_i (`weights` (N,) default to 1/N). `batch` pictures a step, drawn without
        replacement in seeded order; None takes all, which costs little beside the text tower. The rate rises linearly for
        `warmup` steps and falls as a cosine to zero; the last context is kept, not the best. `optimizer`: "sgd" (momentum
        0.9, as in CoOp's code) or "adam".

        Raises ClipkitError: wrong shapes, NaN, a label out of range, no pictures, an unknown optimizer, fewer than one step.
        """
        optimiser, schedule = _optimiser(self.context, optimizer, lr, weight_decay, steps, warmup)
        x = checked_features(features, self.model.embed_dim).to(self._words.device).float()
        y = checked_labels(labels, len(x), len(self.classnames)).to(x.device)
        w = torch.full((len(x),), 1 / len(x), device=x.device) if weights is None else weights.to(x).reshape(-1)
        if len(w) != len(x) or not torch.isfinite(w).all():
            raise ClipkitError(f"weights must be {len(x)} finite numbers, one a picture; got {tuple(w.shape)}")
        if not warm_start:
            with torch.no_grad():
                self.context.copy_(self._initial)
        scale, losses = self.model.logit_scale.detach().to(x.device), []
        for rows in _batches(len(x), batch, steps, seed):
            part = (x, y, w) if rows is None else (x[rows], y[rows], w[rows] * (len(x) / len(rows)))
            logits = scale * part[0] @ self.text_features().T
            loss = (part[2] * F.cross_entropy(logits, part[1], reduction="none")).sum()
            (self.context.grad,) = torch.autograd.grad(loss, self.context)
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        self.context.grad = None
        with torch.no_grad():
            self.text_features_ = self.text_features()
        self.losses_ = torch.stack(losses).tolist()
        return self

    @torch.no_grad()
    def predict_logits(self, features: Tensor) -> Tensor:
        """(M, C) logits of image features (M, D), on their device. Raises ClipkitError before `fit`."""
        if not hasattr(self, "text_features_"):
            raise ClipkitError("this prompt is not fitted: call fit(features, labels) first")
        w = self.text_features_.to(features)
        return self.model.logit_scale.to(w) * checked_features(features, w.shape[1]) @ w.T


@contextmanager
def frozen(module):
    """While open, no weight of `module` asks for gradients; afterwards each is as before."""
    asked = [p for p in module.parameters() if p.requires_grad]
    for p in asked:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in asked:
            p.requires_grad_(True)


def checked_features(features: Tensor, width: int) -> Tensor:
    """Features as they are, if they are (N, `width`), N at least 1, and finite; ClipkitError else."""
    if not isinstance(features, Tensor) or features.ndim != 2 or features.shape[1] != width or not len(features):
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ClipkitError(f"features must be a tensor (N, {width}) with at least one row, got {got}; use model.image_features(images)")
    if not torch.isfinite(features).all():
        raise ClipkitError("the features hold NaN or infinite values; extract them again")
    return features


def checked_labels(labels: Tensor, n: int, n_classes: int) -> Tensor:
    """Labels as int64 (n,), if each is in 0 … n_classes - 1; ClipkitError else."""
    labels = torch.as_tensor(labels)
    if labels.shape != (n,) or labels.is_floating_point():
        raise ClipkitError(f"labels must be {n} whole numbers, one a picture; got {tuple(labels.shape)} {labels.dtype}")
    if n and not (int(labels.min()) >= 0 and int(labels.max()) < n_classes):
        raise ClipkitError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but there are {n_classes} classes, numbered from 0"
        )
    return labels.long()


def _shared(tokens: Tensor) -> int:
    """How many leading tokens all rows have in common."""
    same = (tokens == tokens[:1]).all(0)
    return int(same.long().cumprod(0).sum())


def _content(tokens: Tensor, padding: int) -> Tensor:
    """(N,) tokens before the padding starts."""
    behind = (tokens != padding).flip(1).long().argmax(1)
    return torch.where((tokens != padding).any(1), tokens.shape[1] - behind, 0)


def _prompt_tokens(model, classnames: Sequence[str], prompts: Sequence[str]) -> Tensor:
    """Tokens (C, L) of the prompts; ClipkitError where a tokenizer had to cut one."""
    tokens = model.tokenize(prompts)
    padding = int(model.tokenize([""])[0, -1])
    full = _content(tokens, padding) >= tokens.shape[1]
    if full.any():
        raise _too_long(model, classnames[int(full.nonzero()[0])], tokens.shape[1])
    return tokens


def _with_slots(model, classnames: Sequence[str], prompts: Sequence[str], n_ctx: int, start: int) -> Tensor:
    """Tokens (C, L) of the prompts with n_ctx places for context behind the start token."""
    tokens = _prompt_tokens(model, classnames, prompts)
    padding = int(model.tokenize([""])[0, -1])
    size = _content(tokens, padding) + n_ctx
    if int(size.max()) > tokens.shape[1]:
        raise _too_long(model, classnames[int(size.argmax())], int(size.max()))
    place = model.tokenize(["a"])[:, start : start + 1].expand(len(tokens), n_ctx)  # any word: its embedding is replaced
    return torch.cat([tokens[:, :start], place, tokens[:, start:]], dim=1)[:, : tokens.shape[1]]


def _too_long(model, name: str, size: int) -> ClipkitError:
    return ClipkitError(
        f"the prompt of {name!r} takes {size} tokens or more and {model.name} reads {model.context_length}: lower n_ctx or shorten the name"
    )


def _optimiser(parameter: Tensor, kind: str, lr: float, weight_decay: float, steps: int, warmup: int):
    if steps < 1 or lr <= 0:
        raise ClipkitError(f"training needs at least one step and a positive rate; got steps={steps}, lr={lr}")
    if kind == "sgd":
        optimiser = torch.optim.SGD([parameter], lr=lr, momentum=0.9, weight_decay=weight_decay)
    elif kind == "adam":
        optimiser = torch.optim.AdamW([parameter], lr=lr, weight_decay=weight_decay)
    else:
        raise ClipkitError(f"optimizer must be 'sgd' or 'adam', got {kind!r}")
    warmup = min(warmup, steps - 1)

    def rate(step: int) -> float:  # never 0: a first step at rate 0 would be wasted
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate)


def _batches(n: int, batch: int | None, steps: int, seed: int):
    """`steps` index tensors of `batch` rows (or None for all rows), epoch after epoch in seeded order."""
    if batch is None or batch >= n:
        yield from [None] * steps
        return
    if batch < 1:
        raise ClipkitError(f"a batch needs at least one picture, got batch={batch}")
    generator, order = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        yield order[:batch]
        order = order[batch:]
