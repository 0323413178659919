"""The picture of the verdict rule shows every verdict, and the ones it names."""

from __future__ import annotations

from clipkit.studies.judging_claims_figures import BETTER, EQUIVALENT, NO_WORSE, verdict_picture, verdicts


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
