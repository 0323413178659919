"""Dense truth: counts, depth, occluders, cut-outs, crowds, cue conflicts."""

from __future__ import annotations

import numpy as np
import pytest

from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, SUPERCLASS_OF, WorldSpec, render, sample_scenes, single_objects
from clipkit.world.conflict import cue_conflicts
from clipkit.world.scene import Object, Scene, Scenes
from clipkit.world.truth import counts, depth_map, gatherings, occlude, without


@pytest.fixture(scope="module")
def singles():
    return single_objects(WorldSpec(), 40, 6)


def test_counts_by_hand():
    scene = Scene((Object("cat", "red"), Object("cat", "blue"), Object("dog", "red")))
    table = counts(Scenes.from_list([scene, Scene(())]))
    assert table.shape == (2, 48) and table[1].sum() == 0
    assert table[0, CATEGORIES.index("cat")] == 2 and table[0, CATEGORIES.index("dog")] == 1 and table[0].sum() == 3


def test_depth_map_ranks_what_is_seen():
    a, b = Object("square", "red", x=0.4, scale=0.5, depth=7), Object("circle", "blue", x=0.6, scale=0.5, depth=2)
    scenes = Scenes.from_list([Scene((a, b))])
    masks = render(scenes, 64, masks=True).instances
    depth = depth_map(scenes, masks)
    assert set(np.unique(depth)) == {0, 1, 2}
    assert (depth[masks == 1] == 2).all() and (depth[masks == 2] == 1).all()  # the square is nearer
    assert depth[0, 32, 32] == 2
    with pytest.raises(ClipkitError, match="belong together"):
        depth_map(scenes, masks[:0])


def test_without_takes_objects_away():
    scenes = sample_scenes(WorldSpec(min_objects=3, max_objects=3), 10, 0)
    assert (without(scenes).count == 0).all() and (without(scenes, 1).count == 2).all()
    few = np.zeros(scenes.category.shape, bool)
    few[0, :2] = True
    assert without(scenes, few).count.tolist() == [1] + [3] * 9 and (scenes.count == 3).all()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_occluders_hide_the_share_they_promise(singles, share):
    out = occlude(singles, share, size=64)
    clean = render(singles, 64, masks=True)
    assert np.array_equal(out.visible | out.hidden, clean.instances == 1) and not (out.visible & out.hidden).any()
    assert np.allclose(out.share, out.hidden.sum((1, 2)) / (clean.instances == 1).sum((1, 2)))
    assert (out.share >= share).all() and (out.share < share + 0.15).all()  # to the next row or column
    assert np.array_equal(out.images[out.visible], clean.images[out.visible])
    again = occlude(singles[5:8], share, size=64)
    assert np.array_equal(again.images, out.images[5:8])


def test_occluding_nothing(singles):
    assert np.array_equal(occlude(singles, 0.0).images, render(singles).images)
    empty = occlude(singles, 0.5, slot=4)
    assert np.isnan(empty.share).all() and np.array_equal(empty.images, render(singles).images)
    with pytest.raises(ClipkitError, match="share"):
        occlude(singles, 1.5)


def test_gatherings_bunch_up():
    spec = WorldSpec(same_category=0.5, held_out=(("red", "apple"),))
    many, even = (gatherings(spec, 40, 3, (60, 80), bunching) for bunching in (1.2, 0.0))
    assert 60 <= many.count.min() < many.count.max() <= 80 and (many.x >= 0).all() and (many.x < 1).all()
    alike = [len({(o.category, o.colour, o.texture) for o in scene.objects}) == 1 for scene in many]
    assert 8 < sum(alike) < 32
    drawn = {(o.colour, o.category) for scene, same in zip(many, alike, strict=True) if not same for o in scene.objects}
    assert ("red", "apple") not in drawn and len(drawn) > 300
    for scenes in (many, even):  # no two centres on one point of the lattice
        cells = [{(int(o.x * 32), int(o.y * 32)) for o in scene.objects} for scene in scenes]
        assert [len(c) for c in cells] == scenes.count.tolist()
        assert set(np.unique(np.round(scenes.scale * 256))) <= set(range(10, 19))

    def crowding(scenes):  # variance of a block's number over its mean: 1 for points thrown at random
        blocks = np.zeros((len(scenes), 8, 8))
        for i, scene in enumerate(scenes):
            for o in scene.objects:
                blocks[i, int(o.y * 8), int(o.x * 8)] += 1
        return blocks.var((1, 2)).mean() / blocks.mean()

    assert crowding(even) < 1.1 < 1.8 < crowding(many)
    assert gatherings(spec, 2, 3, (60, 80)).x.tolist() == many.x[:2].tolist()
    assert gatherings(spec, 3, 1, (0, 1)).count.max() <= 1
    for bad in ((-1, 5), (5, 3), (0, 0), (0, 201)):
        with pytest.raises(ClipkitError, match="gathering"):
            gatherings(spec, 1, 0, bad)


def test_cue_conflicts():
    out = cue_conflicts(20, seed=0, size=48)
    for s, t in zip(out.shape, out.texture, strict=True):
        assert SUPERCLASS_OF[CATEGORIES[s]] != SUPERCLASS_OF[CATEGORIES[t]]
    assert np.array_equal(cue_conflicts(6, seed=0, size=48).images, out.images[:6])
    control = cue_conflicts(20, seed=0, size=48, agree=True)
    assert np.array_equal(control.shape, control.texture) and np.array_equal(control.shape, out.shape)
    assert np.array_equal(control.masks, out.masks)  # same outlines, same backgrounds, other fillings
    soft = (control.images != out.images).any(-1) & ~out.masks
    assert soft.mean() < 0.05 and (control.images != out.images).any((1, 2, 3)).all()
    assert out.masks.mean((1, 2)).min() > 0.1
    with pytest.raises(ClipkitError, match="two superclasses"):
        cue_conflicts(1, 0, categories=("cat", "dog"))
    with pytest.raises(ClipkitError, match="unknown background"):
        cue_conflicts(1, 0, place="moon")
