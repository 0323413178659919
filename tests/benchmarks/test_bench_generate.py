"""CIDEr-D by arrays against pycocoevalcap; sampling captions with the decoder's cache against asking for every word anew.

Ratios within one run count; both sides give the same numbers.
"""

import numpy as np
import pytest
import torch

from clipkit.generate import CaptionDecoder, CiderD, brief_references, brief_vocabulary
from clipkit.language import split_words
from clipkit.recipes.captioner import CAPTION_WORLD
from clipkit.world import WorldSpec, sample_scenes

pytest.importorskip("pytest_benchmark")
scenes = sample_scenes(WorldSpec(**CAPTION_WORLD), 400, 3)
references = brief_references(scenes, 5)
candidates = [rows[0] for rows in brief_references(scenes, 1, seed=9)]
spaced = lambda texts: [" ".join(split_words(t)) for t in texts]  # noqa: E731


def by_pycocoevalcap():
    from pycocoevalcap.cider.cider import Cider

    return Cider().compute_score({i: spaced(r) for i, r in enumerate(references)}, {i: spaced([t]) for i, t in enumerate(candidates)})[1]


@pytest.mark.parametrize("way", ["arrays", "arrays, references known", "pycocoevalcap"])
def test_cider_d(benchmark, way):
    benchmark.group = "CIDEr-D of 400 captions, 5 references each"
    known = CiderD(references)
    ways = {
        "arrays": lambda: CiderD(references)(candidates),
        "arrays, references known": lambda: known(candidates),
        "pycocoevalcap": by_pycocoevalcap,
    }
    np.testing.assert_allclose(benchmark.pedantic(ways[way], rounds=5, warmup_rounds=1), known(candidates), atol=1e-9)


@pytest.mark.parametrize("way", ["with the cache", "without"])
@pytest.mark.parametrize("length", [12, 24])
def test_sampling(benchmark, way, length):
    benchmark.group = f"120 captions of {length} words"
    torch.manual_seed(0)
    model = CaptionDecoder(brief_vocabulary()).eval()
    model.decoder.embedding.weight.data[model.vocabulary.eos] = -10.0 * model.decoder.embedding.weight.data.abs().max()  # seldom stops
    pictures = torch.randn(120, 17, 128)

    @torch.no_grad()
    def anew():
        memory, tokens = model.memory(pictures), torch.full((120, 1), model.vocabulary.bos)
        while tokens.shape[1] < length:
            scores = model.decoder.logits(tokens, memory)[:, -1]
            scores[:, [model.vocabulary.pad, model.vocabulary.bos]] = -torch.inf
            tokens = torch.cat([tokens, scores.argmax(-1, keepdim=True)], dim=1)
        return tokens

    cached = lambda: model.sample(pictures, max_length=length)  # noqa: E731
    wanted = cached()
    found = benchmark.pedantic(cached if way == "with the cache" else anew, rounds=3, warmup_rounds=1)
    until = torch.where(wanted == 0, wanted, found[:, : wanted.shape[1]])  # what comes after the end is not looked at
    assert torch.equal(until, wanted)
