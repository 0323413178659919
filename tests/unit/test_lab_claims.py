"""Claims, their table in three forms, and records."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pandas as pd
import pytest

import clipkit.lab.tables
import clipkit.registry.records
from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.lab.claim_words import decimals, paper_number
from clipkit.lab.report import MIME
from clipkit.paths import ROOT
from clipkit.registry.claims import Claim, PaperNumber, checked
from clipkit.registry.contrast import against, scores_of
from clipkit.registry.outcomes import judge_claim
from clipkit.registry.records import Record, json_ready, load_records, portable, scale_of, to_json, write_json

TEST = {
    "metric": "accuracy",
    "unit": "points",
    "method": "gda",
    "baselines": ["tip_adapter", "nearest_mean"],
    "kind": "better",
    "margin": 1.5,
}
PAPER = {"value": "+5.7", "metric": "accuracy over Tip-Adapter", "model": "RN50", "source": "official_repository"}
ENTRY = {
    "slug": "page",
    "claims": [
        {"id": "C1", "text": "GDA beats <caches>.", "origin": "headline", "paper": PAPER, "test": TEST},
        {
            "id": "C2",
            "text": "It needs no captions.",
            "origin": "paper",
            "paper": {"value": None, "source": "unverified"},
            "test": {**TEST, "kind": "equivalent"},
        },
        {"id": "C4", "text": "On ImageNet too.", "origin": "paper", "untestable": "A thousand classes do not fit."},
    ],
}
PRESETS = {"quick": {"n_seeds": 2}, "full": {"n_seeds": 5}}
RUNS = pd.DataFrame(
    {"gda": [80.0, 81.0, 82.0, 80.0, 81.0], "tip_adapter": [78.0, 78.5, 79.0, 78.0, 78.5], "nearest_mean": [70.0, 90.0, 70.0, 70.0, 70.0]},
    index=pd.Index(range(5), name="seed"),
)
HASHES = {"definitions": ["0a", "1b"], "registry": "c", "models": {"nano.json": "d"}, "data": {}}
FACTS = {"hashes": HASHES, "versions": {"torch": "2"}, "seconds": 12.0, "date": "2025-01-02", "book": True}


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))


class Data:
    """As much of a data set as a run notes."""

    images, fingerprint = (), "ab"

    def __init__(self, name: str):
        self.name = name


def start(preset="full", **parameters):
    return lab.start("page", PRESETS, preset=preset, entry=ENTRY, **{"model": "nano", "pretrained": None, "dataset": "world", **parameters})


def test_doctests():
    assert doctest.testmod(clipkit.registry.records).failed == 0
    assert doctest.testmod(clipkit.lab.tables).failed == 0


def claim(place: int = 0, **test) -> Claim:
    spec = ENTRY["claims"][place]
    return checked(Claim, {**spec, **({"test": {**TEST, **test}} if test else {})}, "test")


def contrast(claim: Claim, runs: object) -> tuple[list[float], str | None]:
    values, baseline = against(claim.test, scores_of(runs))
    return values.tolist(), baseline


def test_contrast_is_with_the_strongest_baseline_paired_by_seed():
    values, baseline = contrast(claim(), RUNS)
    assert baseline == "tip_adapter"  # best on average, though nearest_mean wins at one seed
    assert values == [2.0, 2.5, 3.0, 2.0, 2.5]
    assert judge_claim(claim(), RUNS).outcome == "holds"


def test_lower_is_better_turns_everything_round():
    mirrored = claim(direction="lower")
    assert contrast(mirrored, -RUNS) == ([2.0, 2.5, 3.0, 2.0, 2.5], "tip_adapter")
    assert contrast(mirrored, RUNS)[1] == "nearest_mean"  # the lowest mean is the strongest now


def test_without_baselines_the_null_is_stated():
    rows = [{"seed": s, "slope": 0.5 + s / 100, "chance": 0.25} for s in range(5)]
    trend = claim(baselines=[], method="slope", kind="trend", margin=0.1)
    assert contrast(trend, rows) == ([0.5, 0.51, 0.52, 0.53, 0.54], None)
    assert judge_claim(trend, rows).outcome == "holds"
    share = claim(baselines=[], method="slope", kind="above", null=0.5, margin=0.1)
    assert contrast(share, rows)[0] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04]) and judge_claim(share, rows).outcome == "weaker"
    assert contrast(claim(baselines=[], method="slope", kind="above", null="chance", margin=0.1), rows)[0][0] == 0.25
    low = claim(baselines=[], method="slope", kind="above", null=0.6, margin=0.1, direction="lower")
    assert contrast(low, rows)[0] == pytest.approx([0.1, 0.09, 0.08, 0.07, 0.06])


def test_axes_select_the_rows():
    scores = lab.Scores([0, 1, 2, 3, 4])
    for shots, lead in ((4, 0.0), (16, 2.0)):
        scores.add("gda", [70 + lead + i / 10 for i in range(5)], shots=shots)
        scores.add("tip_adapter", [70] * 5, shots=shots)
    assert contrast(claim(baselines=["tip_adapter"], where={"shots": 16}), scores)[0] == pytest.approx([2.0, 2.1, 2.2, 2.3, 2.4])
    assert contrast(claim(baselines=["tip_adapter"], where={"shots": 4}), scores)[0][0] == 0
    with pytest.raises(ClipkitError, match="name more axes"):
        contrast(claim(baselines=["tip_adapter"]), scores)


def test_a_missing_arm_is_named_with_those_there_are():
    with pytest.raises(ClipkitError, match="claim C1: nothing was measured for arm 'tip_adapter'; there is gda; nearest_mean"):
        judge_claim(claim(), RUNS.drop(columns="tip_adapter"))
    with pytest.raises(ClipkitError, match="claim C1: arm 'gda' is nan"):
        judge_claim(claim(), RUNS.assign(gda=np.nan))
    with pytest.raises(ClipkitError, match="claim C4 is not tested"):
        judge_claim(claim(2), RUNS)
    with pytest.raises(ClipkitError, match="a DataFrame or a list of rows, not int"):
        scores_of(3)
    with pytest.raises(ClipkitError, match="the rows differ"):
        scores_of([{"seed": 0, "a": 1.0}, {"seed": 1, "b": 1.0}])


def test_report_has_a_card_for_each_claim_and_strict_json():
    report = start().report(RUNS)
    assert [card.claim.id for card in report.cards] == ["C1", "C2", "C4"]
    assert report.verdict("C1") == "holds" and report.verdict("C2") == "above"
    first, _, last = (card.text for card in report.cards)
    assert "✓ holds, world" in first and "+2.4 [+1.9, +2.9] points, gda over tip adapter, 5 seeds" in first
    assert "+5.7 accuracy over Tip-Adapter, RN50 (official repository)" in first
    assert "– not testable here, any scale" in last and "thousand" in last
    payload = json.loads(json.dumps(report.payload, allow_nan=False))
    assert payload["scores"]["axes"] == ["arm"] and payload["scores"]["keys"] == [["gda"], ["tip_adapter"], ["nearest_mean"]]
    assert [values[1] for values in payload["scores"]["values"]] == [81.0, 78.5, 90.0]
    assert payload["claims"]["C1"]["baseline"] == "tip_adapter" and payload["seeds"] == [0, 1, 2, 3, 4]
    assert set(report.bundle()) == {"text/html", "text/plain", MIME}
    assert "GDA beats &lt;caches&gt;." in report.html and "GDA beats <caches>." in report.text


def test_few_seeds_give_an_estimate_and_no_verdict(capsys):
    run = start("quick")
    report = run.report(RUNS.iloc[:2])
    assert report.verdict("C1") == "not run"
    assert "+0.5 points, gda over nearest mean, 2 seeds" in report.cards[0].text  # strongest over these two seeds
    assert "a verdict needs 5" in report.cards[0].text
    run.claims(RUNS.iloc[:2])
    assert "· not run" in capsys.readouterr().out


def test_a_skipped_claim_says_why():
    report = start().report(RUNS, skip={"C2": "the folder has no captions"})
    assert "C2" not in report.payload["claims"] and report.payload["skipped"] == {"C2": "the folder has no captions"}
    assert "no captions" in report.text
    with pytest.raises(ClipkitError, match="unknown claim in skip 'C3'"):
        start().report(RUNS, skip={"C3": "x"})


def test_the_report_of_scores_keeps_every_row():
    scores = lab.Scores([0, 1])
    scores.add("gda", [80.0, 81.0])
    for shots in (1, 4):
        scores.add("gda", [70.0 + shots, 71.0], shots=shots)
        scores.add("own", [1.0, 2.0], shots=shots)  # at several settings only
    report = start().report(scores, skip=dict.fromkeys(("C1", "C2"), "no rivals here"))
    assert report.payload["scores"] == scores.to_dict() and len(report.payload["scores"]["keys"]) == 5


def test_records_stand_beside_the_live_numbers():
    flowers = start(model="lite", dataset="folder:/somewhere/private/flowers")
    flowers.uses(Data("folder:/somewhere/private/flowers"))
    for run in (start(), flowers):
        record = Record.from_output(run.report(RUNS).payload, **FACTS)
        path = record.write()
        assert "private" not in path.read_text()
        assert Record.read(path) == record
    Record.from_output(start("quick").report(RUNS.iloc[:2]).payload, **FACTS).write()  # fewer seeds: kept, not shown
    found = [record for record in load_records("page") if record.preset == "full"]
    names = [(r.scale, r.file_name.rpartition("-")[0]) for r in found]
    assert names == [("world", "nano-world-full"), ("photographs", "lite-folder_flowers-full")]
    report = start("quick").report(RUNS.iloc[:2])
    c1 = report.cards[0]
    assert [(row.outcome, row.scale) for row in c1.rows] == [("holds", "world"), ("holds", "photographs")]
    assert c1.twin is c1.rows[0] and c1.on(c1.rows[1]) is None and c1.on(c1.rows[0]).n == 2
    other = start("quick", model="lite").report(RUNS.iloc[:2]).cards[0]  # a model without a record
    assert other.twin is None and other.live.n == 2 and len(other.strips) == 2


def test_a_record_is_judged_by_todays_rule():
    Record.from_output(start().report(RUNS).payload, **FACTS).write()
    stricter = {**ENTRY, "claims": [{**ENTRY["claims"][0], "test": {**TEST, "margin": 9.0}}]}
    assert lab.start("page", PRESETS, entry=stricter).report(RUNS).cards[0].live.outcome == "weaker"
    renamed = {**ENTRY, "claims": [{**ENTRY["claims"][0], "test": {**TEST, "method": "new"}}]}
    row = lab.start("page", PRESETS, entry=renamed).report(RUNS.rename(columns={"gda": "new"})).cards[0].rows[0]
    assert row.outcome == "not run" and "record the page again" in row.note and row.estimate is None


def test_a_bad_record_names_file_and_field(tmp_path):
    content = Record.from_output(start().report(RUNS).payload, **FACTS).to_dict()
    scores = content["scores"]
    with pytest.raises(ClipkitError, match="record/scores/values/0/1 is nan"):
        Record.from_dict({**content, "scores": {**scores, "values": [[1.0, float("nan")]]}})
    with pytest.raises(ClipkitError, match="record has the form of version 2, and this is version 3: record the page again"):
        Record.from_dict({**content, "version": 2, "rows": []})
    with pytest.raises(
        ClipkitError, match="record, field claims.C1.n: input should be greater than or equal to 1, not 0. Record the page again"
    ):
        Record.from_dict({**content, "claims": {"C1": {**content["claims"]["C1"], "n": 0}}})
    with pytest.raises(ClipkitError, match="record, field slug: it is missing"):
        Record.from_dict({key: value for key, value in content.items() if key != "slug"})
    with pytest.raises(ClipkitError, match="record, field scores: .*5 numbers for 4 seeds"):
        Record.from_dict({**content, "seeds": content["seeds"][1:]})
    with pytest.raises(ClipkitError, match="record, field scores: not a table of scores"):
        Record.from_dict({**content, "scores": {**scores, "keys": scores["keys"][1:]}})
    with pytest.raises(ClipkitError, match="record, field scores: it holds no number"):
        Record.from_dict({**content, "scores": {"axes": ["arm"], "keys": [], "values": []}})
    folder = tmp_path / "records" / "page"
    folder.mkdir(parents=True)
    for text in ('{"slug": ', "[1]"):
        (folder / "x.json").write_text(text)
        with pytest.raises(ClipkitError, match="x.json .*record the page again"):
            load_records("page")


def test_committed_records_are_read_and_nothing_of_them_is_lost():
    paths = sorted((ROOT / "data" / "records").glob("*/*.json"))
    assert len(paths) >= 15
    for path in paths:
        record = Record.read(path)
        assert json.loads(to_json(record.to_dict())) == json.loads(path.read_text(encoding="utf-8")), path.name
        assert record.file_name == path.name


def test_a_record_keeps_the_axes_of_every_row():
    scores = lab.Scores(range(5))
    for name in RUNS:
        scores.add(name, RUNS[name])
        scores.add(name, RUNS[name] / 3, shots=4, protocol="fixed")
    path = Record.from_output(start().report(scores).payload, **FACTS).write()
    again = Record.read(path).scores
    np.testing.assert_allclose(again.values("gda", shots=4), RUNS.gda / 3, rtol=1e-6)
    assert again.axes == ["protocol", "shots"] and len(again) == 6 and judge_claim(claim(), again).outcome == "holds"
    lines = path.read_text().splitlines()
    assert '   ["gda", "fixed", 4],' in lines and ' "seeds": [0, 1, 2, 3, 4],' in lines  # a row is a line


def test_json_ready_takes_data_only(tmp_path):
    assert json_ready({"a": (np.float64(1), np.arange(2), None, True)}) == {"a": [1.0, [0, 1], None, True]}
    with pytest.raises(ClipkitError, match="value/f is a function"):
        json_ready({"f": lambda: 0})
    with pytest.raises(ClipkitError, match="cannot write x.json"):
        write_json(tmp_path / "missing" / "x.json", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("folder:/a/b/flowers/", "folder:flowers"),
        ("folder:~/flowers", "folder:flowers"),
        ("folder:../flowers", "folder:flowers"),
        ("folder:C:\\data\\flowers", "folder:flowers"),
        ("C:\\data\\x.pt", "x.pt"),
        ("/w/x.pt", "x.pt"),
        ("hf:owner/name", "hf:owner/name"),
        ("laion2b_s34b", "laion2b_s34b"),
        (["/a/b", 1], ["b", 1]),
        (None, None),
    ],
)
def test_no_machine_path_in_a_record(value, kept):
    assert portable(value) == kept


def test_scales():
    assert scale_of("world-crowded", "nano") == "world" and scale_of("digits", "nano") == "digits"
    assert scale_of("folder:x", "nano-conv") == "photographs" and scale_of("cifar10", "RN50") == "full"
    assert scale_of("cifar10", "RN50", "random") == "photographs" and scale_of("world", "nano", "random") == "world"


def test_small_words():
    assert [decimals(m) for m in (1.5, 0.05, 0.1, 20, 5)] == [1, 3, 2, 0, 1]
    assert paper_number(PaperNumber(value="-0.2", source="unverified")) == "\N{MINUS SIGN}0.2 (unverified)"
    assert paper_number(PaperNumber(value=None, source="paper", metric="mAP")) == "no number given (mAP)" and paper_number(None) == ""


def test_table_forms():
    frame = pd.DataFrame({"shots": [1, 16], "accuracy": [-0.04, np.nan], "p": [0.001, 0.2], "name": ["<a>", "b"]}, index=["x", "y"])
    made = lab.table(frame, "Caption & more", {"p": "{:.1e}", "accuracy": 2, "name": str.upper})
    assert "<caption>Caption &amp; more</caption>" in made.html and "&lt;A&gt;" in made.html and 'scope="row"' in made.html
    assert (
        str(made).splitlines()[0] == "Caption & more" and "\N{MINUS SIGN}0.04" in str(made) and "1.0e-03" in str(made) and "–" in str(made)
    )
    assert set(made._repr_mimebundle_()) == {"text/html", "text/plain"}
    with pytest.raises(ClipkitError, match="unknown column in formats 'acuracy'; did you mean 'accuracy'"):
        lab.table(frame, formats={"acuracy": 1})
