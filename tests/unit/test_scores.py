"""Scores: joined over seeds, selected by axes, written and read without loss."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.registry.scores import Scores, mean_over


def one(offset: float) -> Scores:
    scores = Scores()
    scores.update({"gda": 1.0 + offset, "tip": 2.0 + offset}, shots=1)
    scores.update({"gda": 3.0 + offset, "tip": 5.0 + offset}, shots=16)
    scores.add("zero_shot", 0.5 + offset)
    return scores


@pytest.fixture
def scores() -> Scores:
    return Scores.join({7: one(0.0), 3: one(10.0)})


def test_a_row_by_its_axes(scores):
    assert scores.seeds == [7, 3] and scores.arms() == ["gda", "tip", "zero_shot"] and scores.axes == ["shots"]
    np.testing.assert_array_equal(scores.values("gda", shots=16), [3.0, 13.0])
    np.testing.assert_array_equal(scores.values("zero_shot"), [0.5, 10.5])
    assert len(scores.select(shots=1)) == 2 and "tip" in scores and "clap" not in scores


def test_wide_and_long_agree(scores):
    wide = scores.wide(shots=16)
    assert list(wide.columns) == ["gda", "tip"] and list(wide.index) == [7, 3]
    long = scores.frame()
    assert len(long) == 10 and set(long.columns) == {"seed", "arm", "shots", "value"}
    again = long[long.shots == 16].pivot(index="seed", columns="arm", values="value").loc[[7, 3]]
    np.testing.assert_array_equal(again.to_numpy(), wide.to_numpy())
    assert list(scores.wide("shots", arm="gda").columns) == [1, 16]
    assert list(scores.wide().columns) == ["zero_shot"]  # rows that have no other axis
    assert list(scores.wide(["arm", "shots"]).columns) == [("gda", 1), ("tip", 1), ("gda", 16), ("tip", 16)]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda s: s.values("gda"), "name more axes"),
        (lambda s: s.values("clap"), "there is gda; tip; zero_shot"),
        (lambda s: s.values("gda", shots=2), "arm 'gda' at shots 16"),
        (lambda s: s.add("zero_shot", [1.0, 2.0]), "measured already"),
        (lambda s: s.add("new", [1.0]), "1 numbers for 2 seeds"),
        (lambda s: s.add("new", [1.0, math.nan]), "nan at seed 3"),
        (lambda s: s.add("new", [1.0, "x"]), "not one number"),
        (lambda s: s.add("new", [1.0, 2.0], shots=[1]), "a text or a number"),
        (lambda s: Scores.join({0: one(0.0), 1: {"gda": 1.0}}), "differ from the other seeds"),
        (lambda s: Scores.join({0: {}}), "at least one number"),
        (lambda s: Scores.join({0: [1.0]}), "not list"),
        (lambda s: Scores.from_dict({"axes": ["arm"], "keys": [["a"]], "values": []}, [0]), "not a table of scores"),
    ],
)
def test_one_clear_error(scores, ask, told):
    with pytest.raises(ClipkitError, match=told):
        ask(scores)


def test_an_unknown_row_names_what_there_is(scores):
    with pytest.raises(ClipkitError, match="arm 'gda' at shots 1; arm 'gda' at shots 16"):
        scores.values("gda", shots=4)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["a", "b|c", "@ x", "é"]), st.sampled_from([None, 1, 4, 0.5, "few"])), st.floats(-1e6, 1e6), min_size=1
    )
)
def test_written_and_read(numbers):
    scores = Scores()
    for (arm, shots), value in numbers.items():
        scores.add(arm, value, **({} if shots is None else {"shots": shots}))
    again = Scores.from_dict(json.loads(json.dumps(scores.to_dict())), scores.seeds)
    assert again._columns.keys() == scores._columns.keys()
    for key, values in scores._columns.items():
        assert again._columns[key][0] == pytest.approx(values[0], rel=1e-6)


def test_numpy_settings_are_plain(scores):
    scores.add("gda", [0.0, 1.0], shots=np.int64(8))
    np.testing.assert_array_equal(scores.values("gda", shots=8), [0.0, 1.0])


def test_the_mean_over_an_axis_keeps_the_other_axes_and_leaves_out_rows_without_it():
    scores = Scores([0, 1])
    for task, k, values in (("a", 1, (1.0, 2.0)), ("b", 1, (3.0, 6.0)), ("a", 4, (5.0, 5.0))):
        scores.add("gda", values, task=task, shots=k)
    scores.add("gda", (9.0, 9.0))
    mean = mean_over("task", scores)
    assert mean.seeds == [0, 1] and len(mean) == 2 and mean.axes == ["shots"]
    assert mean.values("gda", shots=1).tolist() == [2.0, 4.0] and mean.values("gda", shots=4).tolist() == [5.0, 5.0]
