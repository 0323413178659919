"""kill -9 at random moments: what was finished is kept, nothing is done twice, and the result is as if nothing had happened.

Each work is small and runs in a process group of its own that is killed ten times and then left alone. Of the press everything
is real but the notebook's kernel, which would cost a second each time.
"""

from __future__ import annotations

import csv
import faulthandler
import json
import multiprocessing
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from builder.runs import record as records
from builder.runs import sweep
from clipkit import load_dataset
from clipkit.features import extract
from clipkit.kept import read_facts
from clipkit.lab.seedloop import run_seeds
from clipkit.paths import cache_path
from clipkit.press import predict, runner, worker
from clipkit.press.worker import Job
from clipkit.registry.records import Record, load_records
from tests.unit.test_features import TinyEncoder, pictures
from tests.unit.test_press_sweep import desk, planned  # noqa: F401  the fixture of a small page

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
MOMENTS, STEP = 10, 0.02  # kills; seconds that one step of a work takes


class Diary:
    """A line for every step begun, whoever begins it."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, word: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{word}\n")
        time.sleep(STEP)

    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []


def in_a_group(work: Callable[[], object]) -> int:
    """The process, alone in its group, that does the work in silence."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        faulthandler.dump_traceback_later(200, exit=True)  # a hang is a failure
        tqdm.set_lock(threading.RLock())  # its own is shared by all forks, and whoever is killed may hold it
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def kill_again_and_again(work: Callable[[], object], finished: Callable[[], set[str]], diary: Diary) -> None:
    """Kills the work at random moments, then lets it end; no step that had been finished at a kill is begun after it."""
    moments, kills = random.Random(0), []
    for _ in range(MOMENTS):
        pid = in_a_group(work)
        time.sleep(moments.uniform(0, 12 * STEP))
        (os.killpg if _group(pid) else os.kill)(pid, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            break  # on a fast machine the work may end before its last kill
        time.sleep(STEP)  # until the last of the group is gone
        kills.append((len(diary.lines()), finished()))
    else:
        pid = in_a_group(work)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for before, done in kills:
        assert not done & set(diary.lines()[before:]), "a finished step was done again"


def _group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid  # not yet, in its first instant
    except ProcessLookupError:
        return False


@pytest.fixture(autouse=True)
def diary(tmp_path, monkeypatch) -> Diary:
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))
    return Diary(tmp_path / "steps.txt")


class Slow(TinyEncoder):
    """Writes down which pictures it encodes, by their first value, which is their number."""

    context_length, logit_scale = 99, torch.tensor(10.0)

    def __init__(self, diary: Diary):
        super().__init__()
        self.diary = diary

    def encode_image(self, pixels):
        self.diary.write("\n".join(str(round(255 * float(p.flatten()[0]))) for p in pixels))
        return super().encode_image(pixels)

    def text_features(self, texts, batch=256):
        return torch.nn.functional.normalize(torch.tensor([[len(t), *map(ord, t[-4:])] for t in texts], dtype=torch.float32), dim=-1)


def shards_done() -> set[str]:
    """Numbers of the pictures whose shard is on disk."""
    rows: set[str] = set()
    for file in cache_path("features").glob("*/*.safetensors"):
        assert read_facts(file), "half a file"
        rows |= {str(int(file.name[:9]) + k) for k in range(3)}
    return rows


def numbered(n: int) -> np.ndarray:
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 3)).copy()


def test_features(diary):
    data = pictures()
    data.images.array = numbered(len(data))
    kill_again_and_again(lambda: extract(Slow(diary), data, batch=3, shard=3), shards_done, diary)
    found = extract(TinyEncoder(), data, shard=3)
    assert found.cached and found.index.tolist() == list(range(len(data)))
    torch.testing.assert_close(found.image, extract(TinyEncoder(), data, cache=False).image)


def test_classify(diary, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "SHARD", 3)
    for i, row in enumerate(numbered(23)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(row).save(tmp_path / "photos" / f"{i:02d}.png")
    (tmp_path / "photos" / "23.png").write_bytes(b"none")
    data, names, out = load_dataset(f"unsorted:{tmp_path / 'photos'}", readable=False), ["some cat", "a doggy"], tmp_path / "out.csv"

    def work():
        found, logits = predict.classify(Slow(diary), data, names, ["it is {}"], 3)
        predict.write_predictions(out, data, found, logits, names, 2)

    kill_again_and_again(work, shards_done, diary)
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"{i:02d}.png" for i in range(24)] and rows[-1]["problem"]
    whole = out.read_bytes()
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "other"))
    work()
    assert out.read_bytes() == whole


def test_seeds_of_a_page(diary, tmp_path):
    """The loop inside `clipkit run` and `record`."""
    store, seeds, result = tmp_path / "seeds.json", range(24), tmp_path / "result.csv"

    def experiment(seed: int) -> dict[str, float]:
        diary.write(f"seed {seed}")
        return {"arm": seed + float(np.random.default_rng(seed).normal())}

    def finished() -> set[str]:
        return {f"seed {seed}" for seed in json.loads(store.read_text())["seeds"]} if store.exists() else set()

    kill_again_and_again(lambda: run_seeds(experiment, seeds, store, progress=False).to_csv(result), finished, diary)
    undisturbed = run_seeds(experiment, seeds, None, progress=False)
    assert result.read_text() == undisturbed.to_csv() and not store.exists()


@pytest.fixture
def press(diary, monkeypatch):
    """The runner with workers that are forked as they are, and a kernel that only writes what the small page would leave."""

    def execute(job: Job, partial: Path) -> None:
        diary.write(job.name)
        used = {"model": None, "dataset": "world", "preset": "smoke", **job.parameters}
        scores = {"axes": ["arm"], "keys": [["good"], ["poor"]], "values": [[1.0], [0.0]]}
        payload = {"slug": "tiny", "seeds": [used.get("seed", 0)], "scores": scores, "parameters": used, "claims": {}}
        output = nbformat.v4.new_output("display_data", data={"application/vnd.clipkit.claims+json": payload})
        cell = nbformat.v4.new_code_cell("run.claims(runs)", outputs=[output])
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), partial)

    monkeypatch.setattr(worker, "_execute", execute)
    monkeypatch.setattr(runner, "_context", lambda forked: multiprocessing.get_context("fork"))


def jobs_in(folder: Path) -> list[Job]:
    parts = {"definitions": {}, "notebook": "0"}
    return [Job(f"page{i}", "", str(folder / f"page{i}.ipynb"), {"seed": i}, parts, key=f"key{i}") for i in range(12)]


def whole(jobs: list[Job]) -> set[str]:
    """Names of the jobs that are up to date; their notebooks are whole."""
    done = [job for job in jobs if runner.is_fresh(job)]
    return {job.name for job in done if nbformat.read(job.output, as_version=4)}


def test_run(press, diary, tmp_path):
    jobs = jobs_in(tmp_path / "runs")
    kill_again_and_again(lambda: runner.run_jobs(jobs, 2, progress=False), lambda: whole(jobs), diary)
    assert [result.state for result in runner.run_jobs(jobs, progress=False)] == ["fresh"] * len(jobs)


def test_record(press, diary, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path / "data"))
    jobs, model = jobs_in(tmp_path / "runs"), load_records("gda_adapter")[0]

    def work():
        for job, result in zip(jobs, runner.run_jobs(jobs, 2, progress=False), strict=True):
            assert result.ok
            records.save(replace(model, parameters={"seed": job.parameters["seed"]}))

    def finished() -> set[str]:
        found = [Record.read(path) for path in (tmp_path / "data").rglob("records/*/*.json")]  # a broken one raises
        assert len(found) <= len(jobs)
        return whole(jobs)

    kill_again_and_again(work, finished, diary)
    made = [Record.read(path).parameters["seed"] for path in (tmp_path / "data" / "records").rglob("*.json")]
    assert sorted(made) == list(range(len(jobs)))


def test_sweep(press, diary, desk):  # noqa: F811
    made = planned("shots=1,2,4", "seed=0..3")
    folder = desk / "table"

    def work():
        runner.run_jobs(made.jobs, 2, progress=False)
        sweep.write(made, folder)

    kill_again_and_again(work, lambda: whole(made.jobs), diary)
    table = sweep.rows(made)
    assert len(table) == 24 and not table.duplicated(["shots", "seed", "arm"]).any()
    assert {path.name for path in folder.iterdir()} == {sweep.ROWS, sweep.SUMMARY, sweep.PICTURE}
