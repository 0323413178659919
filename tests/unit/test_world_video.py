"""Clips: frames that tell what the events say, cuts where they are said to be, tones that can be measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.world import CATEGORIES, WorldSpec
from clipkit.world.video import MOTIONS, ROUND, SAMPLE_RATE, VideoSpec, sample_clips, tone_step, tone_track

ONE = WorldSpec(min_objects=1, max_objects=1)


def test_same_seed_same_clips_and_a_prefix_is_a_prefix():
    five, two = sample_clips(VideoSpec(), 5, 3), sample_clips(VideoSpec(), 2, 3, start=3)
    for a, b in zip(five[3:], two, strict=True):
        assert a.cuts == b.cuts and a.events == b.events
        assert np.array_equal(a.render().images, b.render().images) and np.array_equal(a.tones(), b.tones())
    assert not np.array_equal(five[0].render().images, sample_clips(VideoSpec(), 1, 4)[0].render().images)


@given(frames=st.integers(12, 40), most=st.integers(1, 3), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_shots_fill_the_clip(frames, most, seed):
    (clip,) = sample_clips(VideoSpec(frames=frames, shots=(1, most)), 1, seed)
    assert len(clip) == frames
    lengths = np.diff([0, *clip.cuts, frames])
    assert len(lengths) <= most and (lengths >= 4).all()
    assert np.bincount(clip.shot).tolist() == lengths.tolist()
    # The background's variant hangs on the scene's seed: it is one for a shot and changes at every cut.
    changes = np.flatnonzero(np.diff(clip.scenes.seed.astype(np.int64)) != 0) + 1
    assert tuple(changes.tolist()) == clip.cuts


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_do_what_they_say(motion):
    angular = tuple(c for c in CATEGORIES if c not in ROUND)
    world = WorldSpec(min_objects=1, max_objects=1, categories=angular)
    clips = sample_clips(VideoSpec(world=world, shots=(1, 1), motions=(motion,)), 8, 1)
    for clip in clips:
        (event,) = clip.events
        s = clip.scenes
        there = s.category[:, 0] >= 0
        x, y, scale, angle = (getattr(s, f)[:, 0].astype(float) for f in ("x", "y", "scale", "angle"))
        assert event.motion == motion and event.slot == 0
        if motion in ("appear", "vanish"):
            assert event.stop == event.start + 1 and 0 < event.start < len(clip)
            assert np.array_equal(there, (np.arange(16) >= event.start) == (motion == "appear"))
            continue
        assert there.all() and (event.start, event.stop) == (0, 16)
        if motion == "move":
            path = {"left": -x, "right": x, "up": -y, "down": y}[event.direction]
            assert (np.diff(path) > 0).all()
        elif motion in ("grow", "shrink"):
            assert (np.diff(scale) * (1 if motion == "grow" else -1) > 0).all()
        elif motion == "spin":
            assert set(np.unique(np.diff(angle) % 360)) in ({30.0}, {330.0})
        else:
            assert np.ptp(x) == np.ptp(y) == np.ptp(scale) == np.ptp(angle) == 0
        frames = clip.render().images
        later = 1 if motion == "spin" else -1  # a square looks the same after half a clip of turning
        assert (frames[0] != frames[later]).any() == (motion != "still")
        half = scale / 2
        for centre in (x, y):
            assert (centre - half > -0.01).all() and (centre + half < 1.01).all()


def test_what_cannot_be_seen_is_not_an_event():
    world = WorldSpec(min_objects=1, max_objects=1, categories=("circle", "ring"))
    for clip in sample_clips(VideoSpec(world=world, shots=(1, 1), motions=("spin",)), 4, 0):
        assert clip.events[0].motion == "still" and np.ptp(clip.scenes.angle[:, 0]) == 0


def test_masks_follow_the_object():
    (clip,) = sample_clips(VideoSpec(world=ONE, shots=(1, 1), motions=("move",)), 1, 5)
    boxes = clip.render(64, masks=True).boxes[:, 0]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    axis = 0 if clip.events[0].direction in ("left", "right") else 1
    assert np.ptp(centre[:, axis]) > 10 and np.ptp(centre[:, 1 - axis]) <= 2


def test_tones_can_be_measured():
    spec = VideoSpec(world=WorldSpec(min_objects=1, max_objects=1, categories=("cat", "note")), shots=(1, 1), motions=("appear",))
    for clip in sample_clips(spec, 4, 2):
        wave = clip.tones()
        assert wave.dtype == np.float32 and len(wave) == 16 * SAMPLE_RATE // 8 and np.abs(wave).max() <= 1
        start = clip.events[0].start * SAMPLE_RATE // clip.fps
        assert (wave[:start] == 0).all() and np.abs(wave[start:]).max() > 0.05
        spectrum = np.abs(np.fft.rfft(wave[start:]))
        heard = spectrum.argmax() * SAMPLE_RATE / len(wave[start:])
        category = int(clip.scenes.category[-1, 0])
        assert abs(heard - 110 * 2 ** (category / 12)) < 2 * SAMPLE_RATE / len(wave[start:]) + 1
    assert tone_step("cat") == tone_step(0) and len({tone_step(c) for c in CATEGORIES}) == 48


def test_silence():
    (clip,) = sample_clips(VideoSpec(world=WorldSpec(min_objects=0, max_objects=0)), 1, 0)
    assert not clip.tones().any() and clip.events == [] and len(tone_track(clip.scenes[:0], 8)) == 0


def test_spec_is_json_and_checked():
    spec = VideoSpec(world=ONE, frames=12, shots=(2, 3), motions=("move", "spin"))
    assert VideoSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.fingerprint() != VideoSpec().fingerprint()
    for values, words in (
        ({"motions": ("jump",)}, "unknown motion"),
        ({"motions": ()}, "at least one motion"),
        ({"shots": (0, 1)}, "shots"),
        ({"shots": (3, 2)}, "shots"),
        ({"frames": 7, "shots": (1, 2)}, "4 frames"),
        ({"fps": 0}, "fps"),
    ):
        with pytest.raises(ClipkitError, match=words):
            VideoSpec(**values)
    with pytest.raises(ClipkitError, match="unknown field"):
        VideoSpec.from_dict({"frame": 3})
    with pytest.raises(ClipkitError, match="negative"):
        sample_clips(VideoSpec(), -1, 0)
