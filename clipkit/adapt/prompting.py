"""CoOp: the words of a prompt as free vectors, learned through the frozen text tower on cached image features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from clipkit import checks
from clipkit.datasets import fill_templates
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.models.prefix_packing import encode_packed
from clipkit.models.towers import can_pack
from clipkit.train import cosine_schedule, minimise, shuffled

OPTIMISERS = {"sgd": partial(torch.optim.SGD, momentum=0.9), "adam": torch.optim.AdamW}


class PromptLearner(Head):
    """Learned context vectors in front of the class names (class name at the end).

    The prompt of class c is [start][v_1] … [v_M][words of the name][rest][end]; only the v are learned. They start from
    random numbers (`n_ctx` of them, N(0, std)) or, with `template`, from the words before its {}: then the untrained
    learner *is* that template. Works on any DualEncoder with a text tower; its weights are never changed.

    Args:
        model: a DualEncoder. classnames: C names.
        n_ctx: M, vectors a context; the template's own number of tokens when a template is given.
        template: None for a random start, or a prompt with words before its {}.
        class_specific: one context a class (CSC), else one for all.
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
        std: float = 0.02,
        seed: int = 0,
        chunk: int = 256,
    ):
        checks.at_least(1, n_ctx=n_ctx, chunk=chunk)
        self.model, self.classnames, self.chunk = model, list(classnames), chunk
        prompts = [row[0] for row in fill_templates(self.classnames, ["{}." if template is None else template])]
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
        return self.model.logit_scale.detach() * checks.features(features, width=w.shape[1]).to(w) @ w.T

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
        x = checks.features(features, width=self.model.embed_dim).to(self._words.device).float()
        y = checks.labels(labels, len(x), len(self.classnames)).to(x.device)
        w, scale = importance(weights, len(x)).to(x), self.model.logit_scale.detach().to(x.device)
        if not warm_start:
            with torch.no_grad():
                self.context.copy_(self._initial)

        def loss(rows: Tensor | slice) -> Tensor:
            each = F.cross_entropy(scale * x[rows] @ self.text_features().T, y[rows], reduction="none")
            return (w[rows] * (len(x) / len(each)) * each).sum()

        self.losses_ = tune(self.context, loss, len(x), steps, lr, batch, optimizer, weight_decay, warmup, seed)
        with torch.no_grad():
            self.text_features_ = self.text_features()
        return self

    @torch.no_grad()
    def predict_logits(self, features: Tensor) -> Tensor:
        """(M, C) logits of image features (M, D), on their device. Raises ClipkitError before `fit`."""
        w = checks.fitted(self, "text_features_")
        features = checks.features(features, width=w.shape[1])
        return self.model.logit_scale.to(features) * features @ w.to(features).T


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


def importance(weights: Tensor | None, n: int) -> Tensor:
    """(n,) float32 weights of n pictures in a loss: as given, or 1/n each. Raises ClipkitError for another number, NaN."""
    if weights is None:
        return torch.full((n,), 1 / n)
    weights = checks.finite(checks.tensor(weights, "weights").float().reshape(-1), "weights")
    if len(weights) != n:
        raise ClipkitError(f"weights must be {n} numbers, one a picture; got {len(weights)}")
    return weights


def tune(
    prompt: Tensor,
    loss: Callable,
    n: int,
    steps: int,
    lr: float,
    batch: int | None,
    optimizer: str,
    weight_decay: float,
    warmup: int,
    seed: int,
) -> list[float]:
    """Train a prompt in place on n pictures; see `PromptLearner.fit`. Returns the loss of each step."""
    checks.one_of("optimizer", optimizer, OPTIMISERS)
    checks.at_least(1, steps=steps, batch=batch)
    warmup = min(warmup, steps - 1)
    rows = None if batch is None or batch >= n else shuffled(n, batch, torch.Generator().manual_seed(seed), "carry")
    engine = partial(OPTIMISERS[optimizer], weight_decay=weight_decay)
    return minimise(loss, [prompt], steps, lr, rows, engine, lambda step: cosine_schedule(step, steps, warmup, warmup + 1)).tolist()


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
