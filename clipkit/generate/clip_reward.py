"""CLIP as a reward for captions, and the grammar reward that keeps them sentences.

Letters in shapes: N texts, D dimensions of the joint space, H width of the text tower before its projection.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError, unknown
from clipkit.language.word_noise import CORRUPTION_KINDS, corrupt_caption

PROMPT = "a picture of"


class GrammarHead(nn.Module):
    """Is a text well formed? Two layers without bias on the text tower's pooled state (N, H), *before* the projection.

    Source: arXiv:2205.13115, section 3.3; the shape is that of the authors' code (class 1 is "real").
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(dim, dim, bias=False), nn.ReLU(), nn.Linear(dim, 2, bias=False))

    def forward(self, state: Tensor) -> Tensor:
        """(N, H) to logits (N, 2): corrupted, real. Raises ClipkitError for another width."""
        if state.ndim != 2 or state.shape[1] != self.dim:
            raise ClipkitError(f"this grammar head takes pooled text states (N, {self.dim}), got {tuple(state.shape)}")
        return self.layers(state)

    def probability(self, state: Tensor) -> Tensor:
        """g(c) = softmax(head(h))[real], (N,)."""
        return self(state).softmax(-1)[:, 1]


def pooled_text(clip, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(h, f): the text tower's pooled state (N, H) before the projection, and the unit-norm text feature (N, D), from one pass.

    Gradients flow. Raises: ClipkitError for a text tower that does not pool at the end of text and then project (CLIP's does).
    """
    from clipkit.models.towers import can_pack

    module = clip.module
    if not can_pack(module):
        raise ClipkitError(f"{clip.name} has no CLIP text tower (causal, pooled at the end of text); use nano or one of open_clip's CLIPs")
    seen: list[Tensor] = []
    hook = module.ln_final.register_forward_hook(lambda layer, args, output: seen.append(output))
    try:
        features = clip.encode_text(tokens)
    finally:
        hook.remove()
    return seen[-1], features


class CLIPReward:
    """CLIP-S of captions for their pictures, and the grammar probability where a head is given.

        CLIP-S(I, c) = weight · max(cos(f_I, g_c), 0),        g(c) = softmax(head(h_c))[real]

    Args:
        clip: a DualEncoder; only its text tower is used. prompt: stands before every caption, at the reward as in the grammar
            training. grammar_head: a GrammarHead; with one, the model is the fine-tuned one, for both parts (as in the code).

    Equal captions are encoded once: K samples of one picture agree often. Nothing here has a gradient.
    Source: arXiv:2205.13115, eq. 3 and section 3.3; the 2.5 is CLIPScore's, arXiv:2104.08718.
    """

    def __init__(self, clip, prompt: str = PROMPT, weight: float = 2.5, grammar_head: GrammarHead | None = None, batch: int = 256):
        checks.positive(weight=weight)
        self.clip, self.prompt, self.weight, self.grammar_head, self.batch = clip, prompt, weight, grammar_head, batch

    @torch.no_grad()
    def __call__(self, image_features: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """{"clip": (N,), "grammar": (N,) if there is a head} for unit-norm features (N, D) and N captions, on the features' device.

        Raises: ClipkitError for another number of captions, or NaN.
        """
        if image_features.ndim != 2 or len(image_features) != len(texts):
            raise ClipkitError(f"{len(texts)} captions but picture features {tuple(image_features.shape)}: give (N, D) for N captions")
        checks.finite(image_features, "picture features")
        different = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        place = torch.tensor([different[text] for text in texts], dtype=torch.int64)
        states, features = self.encode(list(different))
        found = {"clip": self.weight * (image_features * features[place].to(image_features)).sum(1).clamp(min=0)}
        if self.grammar_head is not None:
            found["grammar"] = self.grammar_head.probability(states)[place].to(image_features)
        return found

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Pooled states (N, H) and unit-norm features (N, D) of captions, the prompt before each; sorted by length inside, to pad less."""
        prompted = [f"{self.prompt} {text}".strip() for text in texts]
        order = sorted(range(len(prompted)), key=lambda i: len(prompted[i]))
        parts = []
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            tokens = self.clip.tokenize([prompted[i] for i in rows])
            if self.grammar_head is not None:
                parts.append(pooled_text(self.clip, tokens))
            else:
                features = self.clip.encode_text(tokens)
                parts.append((features, features))
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(order))
        states, features = (torch.cat(column)[back] for column in zip(*parts, strict=True))
        return states, features


class WeightedReward:
    """Several rewards as one: Σ weight · part, every part kept for the log.

    Args:
        sources: each is called with (rows (N,) of the pictures, N texts) and returns {part: (N,) tensor}.
        weights: part -> factor. Parts without a weight are logged only.

    The paper writes R = CLIP-S + 2 g; the authors' code, and so the published numbers, have R = 2 CLIP-S + g (their issue 11).
    """

    def __init__(self, sources: Sequence[Callable[[Tensor, Sequence[str]], Mapping[str, Tensor]]], weights: Mapping[str, float]):
        if not sources or not weights:
            raise ClipkitError("a reward needs at least one source and one weight")
        self.sources, self.weights = list(sources), dict(weights)

    def __call__(self, rows: Tensor, texts: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """(total (N,), {part: (N,)}). Raises ClipkitError for a weight whose part no source gives."""
        parts: dict[str, Tensor] = {}
        for source in self.sources:
            parts |= source(rows, texts)
        for name in self.weights:
            if name not in parts:
                raise unknown("part of the reward", name, parts)
        return sum(weight * parts[name] for name, weight in self.weights.items()), parts


R_PAPER = {"clip": 1.0, "grammar": 2.0}
R_CODE = {"clip": 2.0, "grammar": 1.0}


def grammar_loss(clip, head: GrammarHead, image_features: Tensor, captions: Sequence[str], spoilt: Sequence[str], prompt: str = PROMPT):
    """InfoNCE(captions, pictures) + cross-entropy of the head over captions (real) and their spoilt copies, unweighted; a 0-d tensor.

    The cross-entropy is the mean over all 2B texts, as in the authors' code. Source: arXiv:2205.13115, section 3.3.
    """
    from clipkit.pretrain import info_nce

    n = len(captions)
    states, features = pooled_text(clip, clip.tokenize([f"{prompt} {text}".strip() for text in [*captions, *spoilt]]))
    labels = torch.cat([torch.ones(n, dtype=torch.int64), torch.zeros(len(spoilt), dtype=torch.int64)]).to(states.device)
    match = info_nce(image_features.to(features), features[:n], clip.logit_scale)
    return match + F.cross_entropy(head(states), labels)


def finetune_text_grammar(
    clip,
    captions: Sequence[Sequence[str]],
    image_features: Tensor,
    steps: int,
    lr: float = 5e-4,
    batch: int = 128,
    vocabulary: Sequence[str] | None = None,
    seed: int = 0,
    **options,
):
    """A copy of the model whose *text* tower also tells captions from spoilt ones, and the head that does.

    Args:
        captions: for each picture at least one. image_features: (N, D), unit norm, of the frozen image tower.
        vocabulary: words for `insert` and `swap`; None: those of the captions.
        options: of `clipkit.train.train`.

    Returns: (copy of the model, GrammarHead, History). The image tower and the logit scale stay as they are.
    Raises: ClipkitError for another number of captions than pictures.
    """
    from clipkit.train import train

    if len(captions) != len(image_features) or not len(captions):
        raise ClipkitError(f"captions for {len(captions)} pictures but features of {len(image_features)}: give one row for each")
    words = sorted({w for rows in captions for text in rows for w in text.split()}) if vocabulary is None else list(vocabulary)
    rng = np.random.default_rng(seed)
    tuned = copy.deepcopy(clip)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = GrammarHead(tuned.module.ln_final.normalized_shape[0]).to(tuned.device)

    def batches():
        while True:
            for rows in np.array_split(rng.permutation(len(captions)), max(1, len(captions) // batch)):
                real = [captions[i][int(rng.integers(len(captions[i])))] for i in rows]
                yield image_features[rows], real, [corrupt_caption(t, words, rng=rng) for t in real]

    both = nn.ModuleList([tuned.module, head])  # the image tower is in it and frozen
    tuned.module.requires_grad_(True)
    tuned.module.visual.requires_grad_(False)
    tuned.module.logit_scale.requires_grad_(False)
    history = train(both, batches(), lambda module, b: grammar_loss(tuned, head, *b), steps, lr=lr, **options)
    tuned.module.eval().requires_grad_(False)
    return tuned, head.eval().requires_grad_(False), history


@torch.no_grad()
def grammar_accuracy(reward: CLIPReward, captions: Sequence[str], vocabulary: Sequence[str], seed: int = 0) -> dict[str, float]:
    """Share of texts that the head calls rightly, 0 to 1: "real" for captions, and each kind of corruption for spoilt copies of them.

    Captions of one word are left out. Raises ClipkitError for a reward without a head.
    """
    if reward.grammar_head is None:
        raise ClipkitError("this reward has no grammar head; give CLIPReward one")
    captions = [t for t in captions if len(set(t.split())) > 1]
    rng = np.random.default_rng(seed)
    texts = {"real": captions} | {kind: [corrupt_caption(t, vocabulary, kind, rng) for t in captions] for kind in CORRUPTION_KINDS}
    real = {name: reward.grammar_head.probability(reward.encode(rows)[0]) > 0.5 for name, rows in texts.items()}
    return {name: float((said if name == "real" else ~said).float().mean()) for name, said in real.items()}
