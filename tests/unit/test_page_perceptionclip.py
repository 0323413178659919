"""PerceptionCLIP's page: words of a context say what the scenes hold, changes change what they say, places mislead as asked."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from clipkit import load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.pretrain.tiny_clip import small_clip
from clipkit.studies.perceptionclip import (
    ARMS,
    CHANGES,
    INFERRED,
    NAMES,
    PLAIN,
    Context,
    TwoPlaces,
    accuracy_by_prompt,
    captions_without_place,
    changed_contexts,
    describe,
    known_contexts,
    train_at_places,
    world_contexts,
)
from clipkit.world import CATEGORIES, caption_batch
from clipkit.world.content_plan import side_of, truths
from clipkit.world.words import PLACES


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
    captions, seen = caption_batch(data.scenes, "detailed", seed=0), 0
    placed = [i for i, truth in enumerate(truths(data.scenes)) if side_of(truth.things[0])]
    assert len(placed) == len(position.truth) < len(captions)
    for row, i in enumerate(placed):
        for value, template in enumerate(position.templates):
            if template.replace("a photo of a {} ", "") in captions[i]:
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
            known = set(PLAIN.split())
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
        assert torch.equal((c.features == encode(images)).all(1), c.truth == 0)
    upside = contexts[0]
    first = int(upside.truth.argmax())
    assert torch.equal(upside.features[first], encode(images[:, ::-1].copy())[first])
    assert upside.templates == ("a photo of a {}, upright", "a photo of a {}, upside-down")
    few = upside.of(torch.tensor([1, 1, 4]))
    assert few.labels.tolist() == [1, 1, 4] and torch.equal(few.truth, upside.truth[[1, 1, 4]])


def test_accuracy_by_prompt_by_hand():
    class Table:  # three dimensions for three words each; a prompt points where its words do
        embed_dim, fingerprint, name = 3, "table of the test", "table"
        logit_scale = torch.tensor(10.0)

        def text_features(self, texts, batch=256):
            axes = {"cat": (1.0, 0, 0), "dog": (0, 1.0, 0), "red": (0, 0, 1.0), "blue": (0, 0, -1.0)}
            rows = [sum((torch.tensor(axes[word]) for word in text.split() if word in axes), torch.zeros(3)) for text in texts]
            return normalize(torch.stack(rows), dim=-1)

    x = normalize(torch.tensor([[1.0, 0, 1], [0, 1, -1], [1, 0, -1], [0, 1, 1]]), dim=-1)
    labels, truth = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 1, 0])
    kind = Context("colour", ("red", "blue"), ("a photo of a red {}", "a photo of a blue {}"), x, labels, truth)
    row = accuracy_by_prompt(Table(), kind, ("cat", "dog"), 0)
    assert list(row) == [*ARMS, *INFERRED]
    assert row["correct_context"] == row["no_context"] == row["inferred_context"] == row["inferred_without_class"] == 100
    assert row["context_chance"] == 50


def test_contexts_of_the_world_and_of_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr("clipkit.dealing._seeds", [0, 1])  # the photographs are shared out
    rng, nano = np.random.default_rng(0), load_model("nano")
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "test" / name / f"{i}.png")
    kinds, names = known_contexts(nano, "world", 40, 0)
    assert len(kinds) == 6 and len(names) == 48 and len(kinds[0].truth) == 40
    kinds, names = known_contexts(nano, f"folder:{tmp_path}", 12, 0)
    other, _ = known_contexts(nano, f"folder:{tmp_path}", 12, 1)
    assert (
        len(kinds) == 6 and len(kinds[0].truth) == 6 and names == ("cat", "dog") and not torch.equal(kinds[0].features, other[0].features)
    )
    row = accuracy_by_prompt(nano, kinds[0], names, 0)
    assert all(0 <= value <= 100 for value in row.values())


@pytest.mark.parametrize("seed", range(4))
def test_homes_are_shared_out_evenly(seed):
    world = TwoPlaces(seed)
    assert world.home.sum() == len(NAMES) // 2 and len(set(world.places)) == 2
    assert (world.home == TwoPlaces(seed).home).all()


def test_binding_is_what_was_asked():
    world = TwoPlaces(1)
    for binding in (0.0, 0.5, 0.95, 1.0):
        scenes, labels, at = world.sample(4000, binding, stream=3)
        assert abs((world.home[labels] == at).mean() - binding) < 0.03
        assert (scenes.background == world.places[at]).all()
        assert [CATEGORIES[c] for c in scenes.category[:3, 0]] == [NAMES[k] for k in labels[:3]]
        assert np.ptp(np.bincount(labels)) <= 1
    a, b = world.sample(50, 0.5, stream=1)[0], world.sample(50, 0.5, stream=2)[0]
    assert (a.seed != b.seed).any()


def test_groups_by_hand():
    world = TwoPlaces(2, ("cat", "dog"))
    labels, at = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    expected = [2 * world.home[k] + p for k, p in zip(labels, at, strict=True)]
    assert world.groups(labels, at).tolist() == expected and set(expected) == {0, 1, 2, 3}


def test_logits_of_test_scenes_are_cosines_of_name_and_place():
    world, model = TwoPlaces(3), small_clip(3).freeze()
    found = world.held_out(model, 24, stream=1)
    for logits, name in ((found["f"][:, 4, 1], NAMES[4]), (found["asked"][:, 1], "thing")):
        expected = model.logit_scale * found["x"] @ model.text_features([world.templates[1].replace("{}", name)]).T
        torch.testing.assert_close(logits, expected[:, 0])
    assert found["f"].shape == (24, 12, 2) and torch.equal(found["group"] % 2, found["at"])


def test_captions_without_place_name_no_place():
    scenes, labels, _ = TwoPlaces(0).sample(100, 0.9, stream=0)
    captions = captions_without_place(scenes, seed=1)
    assert all(NAMES[k] in text for k, text in zip(labels, captions, strict=True))
    assert not any(place in text for text in captions for place in PLACES.values())


@pytest.mark.parametrize("name_places", [True, False])
def test_training_follows_its_arguments(name_places):
    first, again = (train_at_places(0, 128, 256, 0.95, name_places) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    for other in (train_at_places(1, 128, 256, 0.95, name_places), train_at_places(0, 128, 256, 0.5, name_places)):
        assert (other["visual.0.weight"] - first["visual.0.weight"]).abs().max() > 1e-4


def test_tables_are_told_in_words():
    assert describe(pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, -3.0]}, index=["x", "y"])) == "x: a 1.0, b 0.5; y: a 2.0, b -3.0"


def test_what_cannot_be_is_said():
    for names in ((), ("cat", "dog", "bird")):
        with pytest.raises(ClipkitError, match="even number"):
            TwoPlaces(0, names)
    with pytest.raises(ClipkitError, match="probability"):
        TwoPlaces(0).sample(10, 1.5, stream=0)
    for n, pairs in ((128, 8), (8, 128)):
        with pytest.raises(ClipkitError, match="do not fill a batch"):
            train_at_places(0, n, pairs, 0.9, True)
    with pytest.raises(ClipkitError, match="at least two"):
        changed_contexts(lambda x: x, np.zeros((1, 4, 4, 3), np.uint8), torch.zeros(1))
    with pytest.raises(ClipkitError, match="one object"):
        data = load_dataset("world", n=8, min_objects=2, max_objects=2, captions=())
        world_contexts(torch.zeros(8, 3), torch.zeros(8), data.scenes)
