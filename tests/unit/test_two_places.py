"""The world of two places: who is at home where, how strongly, and what the captions tell."""

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.paths import cache_dir
from clipkit.studies.perceptionclip_spurious_background import NAMES, TwoPlaces, captions_without_place, train_there
from clipkit.world import CATEGORIES
from clipkit.world.words import PLACES


@pytest.mark.parametrize("seed", range(4))
def test_homes_are_shared_out_evenly(seed):
    world = TwoPlaces(seed)
    assert world.side.sum() == len(NAMES) // 2 and len(set(world.places)) == 2
    assert (world.side == TwoPlaces(seed).side).all()


def test_binding_is_what_was_asked():
    world = TwoPlaces(1)
    for binding in (0.0, 0.5, 0.95, 1.0):
        scenes, labels, at = world.scenes(4000, binding, stream=3)
        assert abs((world.side[labels] == at).mean() - binding) < 0.03
        assert (scenes.background == world.places[at]).all()
        assert [CATEGORIES[c] for c in scenes.category[:3, 0]] == [NAMES[k] for k in labels[:3]]
        assert np.ptp(np.bincount(labels)) <= 1
    a, b = world.scenes(50, 0.5, stream=1)[0], world.scenes(50, 0.5, stream=2)[0]
    assert (a.seed != b.seed).any()


def test_groups_by_hand():
    world = TwoPlaces(2, ("cat", "dog"))
    labels, at = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    expected = [2 * world.side[k] + p for k, p in zip(labels, at, strict=True)]
    assert world.groups(labels, at).tolist() == expected and set(expected) == {0, 1, 2, 3}


def test_scored_logits_are_cosines_of_name_and_place():
    world = TwoPlaces(3)
    model = train_there(world, 32, 32, 0.95, batch=16)
    found = world.scored(model, 24, stream=1)
    prompt = world.templates()[1].replace("{}", NAMES[4])
    expected = model.logit_scale * found["x"] @ model.text_features([prompt]).T
    torch.testing.assert_close(found["f"][:, 4, 1], expected[:, 0])
    assert found["f"].shape == (24, 12, 2) and torch.equal(found["group"] % 2, found["at"])


def test_captions_without_place_name_no_place():
    scenes, labels, _ = TwoPlaces(0).scenes(100, 0.9, stream=0)
    told = captions_without_place(scenes, seed=1)
    assert all(NAMES[k] in text for k, text in zip(labels, told, strict=True))
    assert not any(place in text for text in told for place in PLACES.values())


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of this file's own: what was trained before must not be found."""
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("name_places", [True, False])
def test_training_is_the_same_for_the_same_seed(name_places, tmp_path, monkeypatch):
    world = TwoPlaces(0)
    first = train_there(world, 32, 64, 0.95, name_places, batch=16)
    kept = list(cache_dir("kept").glob("two-places-*.safetensors"))
    assert len(kept) == 1
    read = train_there(world, 32, 64, 0.95, name_places, batch=16)  # from the cache
    assert read.fingerprint == first.fingerprint and not next(read.module.parameters()).requires_grad
    train_there(world, 32, 64, 0.9, name_places, batch=16)
    assert len(list(cache_dir("kept").glob("two-places-*.safetensors"))) == 2
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))  # trained anew
    again = train_there(world, 32, 64, 0.95, name_places, batch=16)
    torch.testing.assert_close(again.module.state_dict(), first.module.state_dict())


@pytest.mark.parametrize("name_places", [True, False])
def test_other_seeds_give_other_models(name_places):
    a = train_there(TwoPlaces(0), 32, 64, 0.95, name_places, batch=16)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    c = train_there(TwoPlaces(1), 32, 64, 0.95, name_places, batch=16)
    assert (a.encode_image(x) - c.encode_image(x)).abs().max() > 1e-3


def test_what_cannot_be_is_said():
    for names in ((), ("cat", "dog", "bird")):
        with pytest.raises(ClipkitError, match="even number"):
            TwoPlaces(0, names)
    with pytest.raises(ClipkitError, match="probability"):
        TwoPlaces(0).scenes(10, 1.5, stream=0)
    with pytest.raises(ClipkitError, match="do not fill a batch"):
        train_there(TwoPlaces(0), 32, 8, 0.9, batch=16)
