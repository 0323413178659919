"""ComCLIP: sentences are read, boxes cut out, weights sum to one, and the score is the formula."""

import pytest
import torch
import torch.nn.functional as F

from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, COLOURS, parse
from clipkit.zeroshot import add_parts, box_mask, comclip_score, cut_out, parse_triple, part_weights
from clipkit.zeroshot.comclip import FILLERS, WEIGHTS

NOUNS = {"cat": "cat", "cats": "cat", "dog": "dog", "teddy bear": "teddy bear", "bear": "bear", "man": "person"}


@pytest.mark.parametrize(
    ("said", "classes", "keys"),
    [
        ("A man and his old dog.", ("person", "dog"), ("man", "old dog", "")),
        ("Two cats are chasing a small brown dog", ("cat", "dog"), ("cats", "small brown dog", "chasing")),
        ("a teddy bear sits on the lap of a man", ("teddy bear", "person"), ("teddy bear", "man", "sits on the lap of")),
        ("a bear near a cat and a dog", ("bear", "cat"), ("bear", "cat", "near")),
        ("the dog.", ("dog", ""), ("dog", "", "")),
        ("a cat with another cat", ("cat", ""), ("cat", "", "")),
    ],
)
def test_a_sentence_is_read(said, classes, keys):
    triple = parse_triple(said, NOUNS, ("old", "small", "brown"))
    assert (triple[:2], triple.keys) == (classes, keys)
    assert [NOUNS[said.lower()[a:b]] for a, b in triple.at] == [c for c in classes if c]


def test_what_is_not_named_is_not_found():
    assert parse_triple("a catalogue for dogmatic men", NOUNS) is None
    assert parse_triple("a cat", {}) is None


def test_it_reads_the_worlds_sentences_as_the_worlds_reader_does():
    nouns = {c: c for c in CATEGORIES} | {"lightning bolt": "lightning"}
    for text in (
        "a red cat to the left of a blue dog",
        "a bunch of green grapes above a white lightning bolt",
        "an orange key below a pink cup",
    ):
        theirs, ours = parse(text), parse_triple(text, nouns, tuple(COLOURS))
        assert [item.noun for item in theirs.items] == [*ours[:2]]
        assert [item.colour for item in theirs.items] == [key.split()[0] for key in ours.keys[:2]]
        assert theirs.relations[0][1].split()[0] in ours.keys[2]


def test_masks_of_boxes():
    mask = box_mask(torch.tensor([[1.0, 0, 3, 2], [0, 3, 1, 9]]), 4, 4)
    assert mask.int().tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert box_mask(torch.empty(0, 4), 2, 3).all()
    with pytest.raises(ClipkitError, match="x0 y0 x1 y1"):
        box_mask(torch.zeros(4), 2, 3)


def test_fillers_leave_the_part_and_change_the_rest():
    image = torch.randint(1, 255, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mask = box_mask(torch.tensor([[4.0, 4, 12, 10]]), 16, 16)
    for filler in ("black", "mean", "blur"):
        out = cut_out(image, mask, filler)
        assert out.dtype == image.dtype and (out[:, mask] == image[:, mask]).all() and not (out == image).all()
    assert (cut_out(image, mask)[:, ~mask] == 0).all()
    assert (cut_out(image, mask, "mean").float()[:, ~mask] - image.float().mean((1, 2))[:, None]).abs().max() <= 0.5
    soft = cut_out(image.float(), mask, "blur")
    assert soft[0, 0, 0].item() == pytest.approx(
        F.pad(image[None].float(), (2,) * 4, mode="replicate")[0, 0, :5, :5].mean().item(), rel=1e-5
    )
    plain = torch.zeros(3, 16, 16)
    plain[:, 4:10, 4:12] = 1.0  # enlarged, the part with its margin fills the frame
    assert cut_out(plain, mask, "crop").mean() > 0.6 > 0.2 > plain.mean()
    for filler in FILLERS:
        assert (cut_out(image, torch.ones(16, 16, dtype=torch.bool), filler) == image).all()
    with pytest.raises(ClipkitError, match="filler"):
        cut_out(image, mask, "white")
    with pytest.raises(ClipkitError, match="mask"):
        cut_out(image, mask[:3])


def test_weights():
    s, present = (
        torch.tensor([[0.3, 0.1, 0.4], [-0.2, 0.2, 0.3], [-0.1, -0.2, 0.5]]),
        torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0]]).bool(),
    )
    assert torch.allclose(part_weights(s, present), torch.tensor([[0.375, 0.125, 0.5], [0, 1, 0], [0.5, 0.5, 0]]))
    assert torch.allclose(part_weights(s, present, "uniform"), torch.tensor([[1 / 3] * 3, [0.5, 0.5, 0], [0.5, 0.5, 0]]))
    assert torch.allclose(part_weights(s, present, "softmax", 0.1)[0], (10 * s[0]).softmax(0))
    for how in WEIGHTS:
        w = part_weights(s, present, how)
        assert torch.allclose(w.sum(1), torch.ones(3)) and (w >= 0).all() and (w[~present] == 0).all()
    # CLIP's similarities lie close together, and so do the weights: this is what makes them nearly uniform.
    assert (part_weights(torch.tensor([[0.22, 0.25, 0.28]])) - 1 / 3).abs().max() < 0.05
    with pytest.raises(ClipkitError, match="a part in every row"):
        part_weights(s, torch.zeros_like(present))
    with pytest.raises(ClipkitError, match="weigh"):
        part_weights(s, present, "loud")


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_score_is_the_formula(normalise):
    t, v, parts, keys = draw(5, 8), draw(5, 9)[:, :8], draw(5, 3, 8) + 1, draw(5, 3, 9)[..., :8] + 1
    got = comclip_score(t, v, parts, keys, normalise=normalise)
    for p in range(5):
        unit = (lambda x: x / x.norm()) if normalise else (lambda x: x)
        s = [max(float(unit(keys[p, k]) @ unit(parts[p, k])), 0) for k in range(3)]
        whole = unit(v[p]) + sum(s[k] / sum(s) * unit(parts[p, k]) for k in range(3))
        assert got[p].item() == pytest.approx(float(t[p] @ whole / t[p].norm() / whole.norm()), abs=1e-12)
    # The same, from the inner products: what is added is the part's likeness to the whole sentence.
    t, v, parts, keys = (F.normalize(x, dim=-1) for x in (t, v, parts, keys))
    w = part_weights((keys * parts).sum(-1))
    inner = (t * v).sum(1) + (w * (parts @ t[..., None])[..., 0]).sum(1)
    assert torch.allclose(comclip_score(t, v, parts, keys), inner / add_parts(v, parts, w).norm(dim=1))


def test_parts_that_are_the_picture_change_nothing_and_absent_parts_do_not_count():
    t, v, keys = draw(4, 6), draw(4, 7)[:, :6], draw(4, 3, 6)
    same = v[:, None].expand(-1, 3, -1)
    for how in WEIGHTS:
        assert torch.allclose(comclip_score(t, v, same, keys, weights=how), F.cosine_similarity(t, v))
    present, parts = torch.tensor([[True, True, False]] * 4), draw(4, 3, 6)
    other = parts.clone()
    other[:, 2] = 100.0
    assert torch.allclose(comclip_score(t, v, parts, keys, present), comclip_score(t, v, other, keys, present))


def test_what_does_not_fit_is_refused():
    t, v, parts, keys = draw(4, 6), draw(4, 6), draw(4, 3, 6), draw(4, 3, 6)
    with pytest.raises(ClipkitError, match="P, K, D"):
        comclip_score(t, v, parts, keys[:, :2])
    with pytest.raises(ClipkitError, match="NaN"):
        comclip_score(t, v.fill_(torch.nan), parts, keys)
