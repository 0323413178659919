"""The study of the page on judging claims.

Coverage by simulation is that of the same intervals for one experiment, and what theory gives; the picture of the rule shows
every verdict, and the ones it names.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clipkit.errors import ClipkitError
from clipkit.registry.stats import t_interval
from clipkit.studies.judging_claims import (
    BETTER,
    EQUIVALENT,
    INTERVALS,
    NO_WORSE,
    SHAPES,
    WAYS,
    chances_picture,
    coverage,
    coverage_by_shape,
    coverage_of_pictures,
    held_table,
    verdict_picture,
    verdicts,
)

NORMAL = np.random.default_rng(0).normal(3.0, 2.0, (20_000, 3))


def test_students_is_that_of_one_experiment():
    low, high = INTERVALS["Student's t"](NORMAL[:4])
    for row, a, b in zip(NORMAL[:4], low, high, strict=True):
        one = t_interval(row)
        assert (a, b) == pytest.approx((one.low, one.high))


@pytest.mark.parametrize("name", ["bootstrap", "bootstrap, widened"])
def test_bootstrap_is_scipys_at_its_percentiles(name):
    values = np.random.default_rng(1).normal(size=(1, 12))
    # n = 12: t(11; .975) = 2.2010, times sqrt(12/11) = 2.2989, Phi(-2.2989) = 0.01076
    level = 0.95 if name == "bootstrap" else 1 - 2 * 0.01076
    one = stats.bootstrap((values[0],), np.mean, confidence_level=level, method="percentile", rng=np.random.default_rng(0))
    low, high = INTERVALS[name](values)
    ends = one.confidence_interval
    assert low[0] == pytest.approx(ends.low, abs=0.12) and high[0] == pytest.approx(ends.high, abs=0.12)  # 1,000 resamples


@pytest.mark.parametrize("draw", ["normal", "uniform", "binomial", "student"])
def test_student_covers_as_well_as_the_widened_bootstrap(draw):
    """Why the rule has one interval: at eight seeds Student's is nowhere more than a point behind, and ahead on normal numbers."""
    rng, shape = np.random.default_rng(2), (8000, 8)
    makers = {
        "normal": (rng.normal(size=shape), 0),
        "uniform": (rng.uniform(size=shape), 0.5),
        "binomial": (rng.binomial(200, 0.85, shape) / 2, 85),
        "student": (rng.standard_t(3, shape), 0),
    }
    values, truth = makers[draw]
    student, widened = (coverage(values, truth, name) for name in ("Student's t", "bootstrap, widened"))
    assert student > widened - 1 and (draw != "normal" or student > widened + 0.3) and student > 93.5


def test_by_hand():
    values = np.array([[1.0, 2.0, 3.0]])
    low, high = INTERVALS["1.96"](values)
    assert (low[0], high[0]) == pytest.approx((2 - 1.96 / 3**0.5, 2 + 1.96 / 3**0.5))
    low, high = INTERVALS["1.96, divisor n"](values)
    assert high[0] - 2 == pytest.approx(1.96 * np.std([1, 2, 3]) / 3**0.5)


@pytest.mark.parametrize(
    ("name", "reach"), [("Student's t", stats.t.ppf(0.975, 2)), ("1.96", 1.96), ("1.96, divisor n", 1.96 * (2 / 3) ** 0.5)]
)
def test_coverage_is_what_theory_says(name, reach):
    expected = 100 * (1 - 2 * stats.t.sf(reach, 2))  # three normal seeds: |t| with two degrees of freedom within reach
    assert coverage(NORMAL, 3.0, name) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("name", INTERVALS)
def test_no_spread_covers_the_truth_only(name):
    same = np.full((5, 8), 1 / 3)
    assert coverage(same, 1 / 3, name) == 100
    assert coverage(same, 0.4, name) == 0


def test_no_such_way():
    with pytest.raises(ClipkitError, match="way to share pictures"):
        coverage_of_pictures("stolen", 1)


@pytest.mark.parametrize(
    ("values", "name", "message"), [(NORMAL, "normal", "interval"), (NORMAL[0], "1.96", "shape"), (NORMAL[:, :1], "1.96", "shape")]
)
def test_refusals(values, name, message):
    with pytest.raises(ClipkitError, match=message):
        coverage(values, 0.0, name)


def test_coverage_by_shape_tells_normal_from_skewed_numbers():
    rows = {row["numbers"]: row for row in coverage_by_shape(8, 4000, 0)}
    assert list(rows) == list(SHAPES) and abs(rows["normal"]["Student's t"] - 95) < 1.5
    assert rows["skewed (exponential)"]["Student's t"] < 92 < rows["even"]["Student's t"]
    for name, (draw, truth) in SHAPES.items():
        assert draw(np.random.default_rng(1), 200_000).mean() == pytest.approx(truth, abs=0.02), name


@pytest.mark.parametrize("seeds", [3, 5])
def test_pictures_of_a_seed(seeds):
    drawn, handed = (WAYS[way](np.random.default_rng(0), seeds, 30) for way in WAYS)
    assert drawn.shape == (seeds, 30) and handed.shape == (seeds, 30 // seeds)
    assert sorted(handed.ravel()) == list(range(30)) and len(set(drawn[0])) < 30


def test_intervals_over_shared_pictures_cover_what_theory_says():
    """A set's mean has variance v = var/1000 around the truth, a drawn seed's v + 1/4 around the set's mean, a dealt one's 5 v + 1/4."""
    v = (100**2 * 0.22 - 2.0**2) / 1000
    far = 1 + v / ((v + 0.25) / 5)  # variance of the mean around the truth over what the spread of the seeds shows
    expected = 100 * (1 - 2 * stats.t.sf(stats.t.ppf(0.975, 4) / far**0.5, 4))
    drawn, handed = (coverage_of_pictures(way, 4000) for way in WAYS)
    assert drawn == pytest.approx(expected, abs=2.5) and handed == pytest.approx(95, abs=1.5)


def test_verdicts_as_the_labels_say():
    found = dict(zip(BETTER, verdicts("better", BETTER), strict=True))
    assert found["clear gain"] == found["gain of unsure size"] == "holds"
    assert (found["real, but too small"], found["nothing there"], found["harm"]) == ("weaker", "no effect", "reversed")
    assert found["gain, or luck?"] == found["real, but large enough?"] == found["too noisy"] == "open"
    assert verdicts("no_worse", NO_WORSE) == ["holds", "holds", "open", "reversed"]
    assert verdicts("equivalent", EQUIVALENT) == ["holds", "open", "above", "open"]


def test_it_is_drawn_with_its_words(capsys):
    verdict_picture()
    said = capsys.readouterr().out
    assert "clear gain: holds" in said and "different: above" in said


def test_the_table_and_the_figure_of_the_rule_are_its_own_simulation(capsys):
    held = held_table(500)
    assert held.shape == (6, 5) and held.loc["8 seeds, scatter 0.25 δ", "effect 2 δ"] == 100
    assert held.loc["5 seeds, scatter 0.25 δ", "effect 0 δ"] == 0
    chances_picture(200)
    assert "The chance of each verdict against the true effect" in capsys.readouterr().out
