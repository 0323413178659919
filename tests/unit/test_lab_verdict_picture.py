"""The picture of the verdict rule shows every verdict, and the ones it names."""

from __future__ import annotations

from clipkit.studies.judging_claims_figures import (
    BETTER,
    EQUIVALENT,
    NO_WORSE,
    chances_picture,
    held_table,
    verdict_picture,
    verdicts,
)


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
