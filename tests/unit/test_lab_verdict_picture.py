"""The picture of the verdict rule shows every verdict, and the ones it names."""

from __future__ import annotations

from clipkit.studies.judging_claims_figures import BETTER, EQUIVALENT, verdict_picture, verdicts


def test_verdicts_as_the_labels_say():
    found = dict(zip(BETTER, verdicts("better", BETTER), strict=True))
    assert found["clear gain"] == found["gain of unsure size"] == "holds"
    assert found["real, but too small"] == found["nothing there"] == found["harm"] == "fails"
    assert found["real, but large enough?"] == found["too noisy"] == "inconclusive"
    assert verdicts("equivalent", EQUIVALENT) == ["holds", "inconclusive", "fails", "inconclusive"]


def test_it_is_drawn_with_its_words(capsys):
    verdict_picture()
    said = capsys.readouterr().out
    assert "clear gain: holds" in said and "different: fails" in said
