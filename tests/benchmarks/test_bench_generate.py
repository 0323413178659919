"""CIDEr-D by arrays against pycocoevalcap; sampling captions with the decoder's cache against asking for every word anew."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from clipkit.generate import CaptionDecoder, CiderD, brief_references, brief_vocabulary
from clipkit.generate.caption_model import CAPTION_WORLD
from clipkit.language import split_words
from clipkit.world import WorldSpec, sample_scenes


@pytest.fixture(scope="module")
def written(size):
    """(candidates, references): one caption and five references a scene."""
    scenes = sample_scenes(WorldSpec(**CAPTION_WORLD), size(400, 40), 3)
    return [rows[0] for rows in brief_references(scenes, 1, seed=9)], brief_references(scenes, 5)


def by_pycocoevalcap(candidates, references):
    from pycocoevalcap.cider.cider import Cider

    spaced = lambda texts: [" ".join(split_words(t)) for t in texts]  # noqa: E731
    return Cider().compute_score({i: spaced(r) for i, r in enumerate(references)}, {i: spaced([t]) for i, t in enumerate(candidates)})[1]


@pytest.mark.parametrize("known", [False, True])
def test_cider_d(pair, written, known):
    candidates, references = written
    ready = CiderD(references)
    ours = (lambda: ready(candidates)) if known else (lambda: CiderD(references)(candidates))
    name = f"CIDEr-D of 400 captions{', references known' if known else ''}"
    pair(name, ours, lambda: by_pycocoevalcap(*written), "pycocoevalcap", partial(np.testing.assert_allclose, atol=1e-9))


@pytest.mark.parametrize("length", [12, 24])
def test_sampling(pair, size, length):
    torch.manual_seed(0)
    model = CaptionDecoder(brief_vocabulary()).eval()
    model.decoder.embedding.weight.data[model.vocabulary.eos] = -10.0 * model.decoder.embedding.weight.data.abs().max()  # seldom stops
    pictures = torch.randn(size(120, 6), 17, 128)

    @torch.no_grad()
    def anew():
        memory, tokens = model.memory(pictures), torch.full((len(pictures), 1), model.vocabulary.bos)
        while tokens.shape[1] < length:
            scores = model.decoder.logits(tokens, memory)[:, -1]
            scores[:, [model.vocabulary.pad, model.vocabulary.bos]] = -torch.inf
            tokens = torch.cat([tokens, scores.argmax(-1, keepdim=True)], dim=1)
        return tokens

    def same(ours, theirs):
        until = torch.where(ours == 0, ours, theirs[:, : ours.shape[1]])  # what comes after the end is not looked at
        assert torch.equal(until, ours) and (ours != 0).sum() > len(ours)

    name = f"120 captions of {length} words"
    pair(name, lambda: model.sample(pictures, max_length=length), anew, "without a cache", same)
