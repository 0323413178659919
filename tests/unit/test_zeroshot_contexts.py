"""Contexts with a known truth: the words say what the scenes hold, changes change what they say."""

import numpy as np
import pytest
import torch

from clipkit import load_dataset
from clipkit.errors import ClipkitError
from clipkit.studies.perceptionclip_contexts import CHANGES, changed_contexts, positions, resampled, world_contexts
from clipkit.world import caption_batch


@pytest.fixture(scope="module")
def six():
    data = load_dataset("world", n=80, seed=1, styles=("flat", "sketch"), captions=())
    return data, world_contexts(torch.zeros(80, 3), torch.as_tensor(data.labels), data.scenes)


def test_the_true_values_are_those_of_the_scenes(six):
    data, contexts = six
    assert [c.name for c in contexts] == ["place", "style", "colour", "texture", "size", "position"]
    for i, scene in enumerate(data.scenes):
        thing = scene.objects[0]
        said = {c.name: c.values[c.truth[i]] for c in contexts[:5]}
        assert said["place"] == scene.background and said["style"] == scene.style and said["texture"] == thing.texture
        assert said["colour"] == thing.colour and said["size"] == thing.size


def test_the_words_are_those_of_the_captions(six):
    data, contexts = six
    position = next(c for c in contexts if c.name == "position")
    told, seen = caption_batch(data.scenes, "detailed", seed=0), 0
    kept = [i for i, side in enumerate(positions(data.scenes)) if side]
    assert len(kept) == len(position.truth) < len(told)
    for row, i in enumerate(kept):
        for value, template in enumerate(position.templates):
            if template.replace("a photo of a {} ", "") in told[i]:
                assert position.truth[row] == value
                seen += 1
    assert seen > 20
    place = contexts[0]
    assert place.templates[place.values.index("snow")] == "a photo of a {} in the snow"
    assert place.without_class()[place.values.index("snow")] == "a photo of a thing in the snow"
    assert "a photo of an orange {}" in contexts[2].templates


def test_scrambled_words_keep_their_lengths_and_the_plain_words(six):
    for context in six[1]:
        for before, after in zip(context.templates, context.scrambled(3), strict=True):
            assert [len(w) for w in before.split()] == [len(w) for w in after.split()] and "{}" in after
            known = set(context.plain.split())
            assert all((a == b) == (b in known) for a, b in zip(after.split(), before.split(), strict=True) if len(b) > 3)
        assert context.scrambled(3) == context.scrambled(3) != context.scrambled(4)


def test_changes_are_made_to_half_the_pictures():
    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (10, 8, 8, 3), dtype=np.uint8)
    encode = lambda x: torch.as_tensor(x.reshape(len(x), -1).astype(np.float32))  # noqa: E731
    contexts = changed_contexts(encode, images, torch.arange(10))
    assert [c.name for c in contexts] == list(CHANGES)
    for c in contexts:
        assert c.truth.sum() == 5
        same = (c.features == encode(images)).all(1)
        assert torch.equal(same, c.truth == 0)
    upside = contexts[0]
    first = int(upside.truth.argmax())
    assert torch.equal(upside.features[first], encode(images[:, ::-1].copy())[first])
    assert upside.templates == ("a photo of a {}, upright", "a photo of a {}, upside-down")
    few = resampled(upside, torch.tensor([1, 1, 4]))
    assert few.labels.tolist() == [1, 1, 4] and torch.equal(few.truth, upside.truth[[1, 1, 4]])


def test_what_cannot_be_is_said():
    with pytest.raises(ClipkitError, match="at least two"):
        changed_contexts(lambda x: x, np.zeros((1, 4, 4, 3), np.uint8), torch.zeros(1))
    with pytest.raises(ClipkitError, match="one object"):
        data = load_dataset("world", n=8, min_objects=2, max_objects=2, captions=())
        world_contexts(torch.zeros(8, 3), torch.zeros(8), data.scenes)
