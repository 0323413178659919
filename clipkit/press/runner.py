"""Run notebooks: what is up to date is skipped, a failure or a killed worker does not stop the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.features.stream import cores
from clipkit.paths import data_dir, writable
from clipkit.press import hashing, notebooks
from clipkit.press.worker import Job, partial_path, run_job, status_path, write_failure
from clipkit.registry.papers import Entry

EXPECTED = {"smoke": 8.0, "quick": 30.0, "full": 300.0}  # seconds, until a page has been run once


@dataclass(frozen=True)
class Result:
    """What became of one page, or one combination of a sweep: `state` is ran, fresh (skipped), failed or killed; `why` is for people."""

    slug: str  # the job's name: the page, or "shots=4 seed=0"
    state: str
    why: str = ""
    seconds: float = 0.0
    peak_mb: int = 0
    output: Path | None = None

    @property
    def ok(self) -> bool:
        return self.state in ("ran", "fresh")


def run_path(slug: str, preset: str) -> Path:
    """Where the executed copy of a page lies."""
    return data_dir() / "runs" / preset / f"{slug}.ipynb"


def read_status(output: Path) -> dict | None:
    """The status file of an executed notebook, or None when there is none that can be read."""
    try:
        return json.loads(status_path(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def job_for(entry: Entry, parameters: dict, output: Path | None = None, forked: bool | None = None) -> Job:
    """The job that runs a page with these parameters; `parameters` may leave out what the page defaults to.

    Raises ClipkitError for a missing notebook, an unknown parameter or preset.
    """
    notebook = notebooks.read(entry.notebook_path)
    notebooks.check_parameters(notebook, parameters, entry.slug)
    parts = hashing.run_parts(entry, notebook, {**notebooks.parameters(notebook), **parameters})
    return Job(
        slug=entry.slug,
        source=str(entry.notebook_path),
        output=str(output or run_path(entry.slug, parameters.get("preset", "quick"))),
        parameters=parameters,
        parts=parts,
        key=hashing.key(parts),
        forked=can_fork() if forked is None else forked,
    )


def is_fresh(job: Job) -> bool:
    """True when the output exists, ended well, and nothing it depends on has changed."""
    status = read_status(Path(job.output))
    return bool(status and status["ok"] and status["key"] == job.key and Path(job.output).is_file())


def can_fork() -> bool:
    """Warm, forked kernels: on Linux only, and not when CLIPKIT_PLAIN_KERNELS is set."""
    return sys.platform == "linux" and not os.environ.get("CLIPKIT_PLAIN_KERNELS")


def run_jobs(jobs: Iterable[Job], n_jobs: int = 1, force: bool = False, progress: bool = True) -> list[Result]:
    """Run jobs in worker processes, `n_jobs` at a time; results in the order of `jobs`.

    Interrupting (Ctrl-C) stops the pages in progress, keeps all finished ones and raises KeyboardInterrupt.
    """
    jobs = list(jobs)
    results, todo = fresh_and_todo(jobs, force)
    if todo:
        _run(todo, max(1, n_jobs), results, progress)
    return [results[job.output] for job in jobs]


def fresh_and_todo(jobs: list[Job], force: bool = False) -> tuple[dict[str, Result], list[Job]]:
    """The results there are already, by output, and the jobs that have to run."""
    fresh = [job for job in jobs if not force and is_fresh(job)]
    results = {job.output: Result(job.name, "fresh", output=Path(job.output)) for job in fresh}
    return results, [job for job in jobs if job.output not in results]


def _run(todo: list[Job], n_jobs: int, results: dict[str, Result], progress: bool) -> None:
    n_jobs = min(n_jobs, len(todo))
    for folder in {Path(job.output).parent for job in todo}:
        writable(folder)  # one clear error now, not one from every worker
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // n_jobs)))  # before the server imports torch
    context = _context(any(job.forked for job in todo))
    expected = {job.output: expected_seconds(job) for job in todo}
    queue = list(reversed(todo))
    running: dict[int, tuple[multiprocessing.Process, Job, float]] = {}
    bar = Bar(len(todo), progress)
    try:
        while queue or running:
            while queue and len(running) < n_jobs:
                job = queue.pop()
                process = context.Process(target=run_job, args=(job, dict(os.environ)), name=f"clipkit {job.name}")
                process.start()
                running[process.sentinel] = (process, job, time.monotonic())
            bar.show([job.name for _, job, _ in running.values()], _left(queue, running, expected))
            for sentinel in wait(list(running), timeout=1.0):
                process, job, _ = running.pop(sentinel)
                process.join()
                results[job.output] = result = outcome(job, process.exitcode)
                learn(expected, queue, job, result)
                bar.done(result)
    except KeyboardInterrupt:
        for process, job, _ in running.values():
            process.terminate()
            process.join(5)
            partial_path(job.output).unlink(missing_ok=True)
        raise
    finally:
        bar.close()


def _context(forked: bool):
    if not forked:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["clipkit.press.preload"])
    return context


def outcome(job: Job, exitcode: int | None) -> Result:
    """What a worker left behind, read from its status file; a worker that left none was killed, and gets one that says so."""
    status = read_status(Path(job.output))
    if exitcode != 0 or status is None or status["key"] != job.key:
        how = f"signal {-exitcode}" if exitcode and exitcode < 0 else f"exit code {exitcode}"
        why = f"its worker was killed ({how}); too little memory? Run it again with --jobs 1"
        if partial_path(job.output).exists():
            partial_path(job.output).replace(job.output)
        write_failure(job, why)
        return Result(job.name, "killed", why, output=Path(job.output))
    if status["ok"]:
        return Result(job.name, "ran", "", status["seconds"], status["peak_mb"], Path(job.output))
    error = status["error"]
    where = f"cell [{error['cell']}] `{error['line']}`: " if error["cell"] else ""
    return Result(job.name, "failed", where + error["error"], status["seconds"], status["peak_mb"], Path(job.output))


def expected_seconds(job: Job) -> float:
    status = read_status(Path(job.output)) or {}
    return status.get("seconds") or EXPECTED.get(job.parameters.get("preset", "quick"), 30.0)


def learn(expected: dict[str, float], queue: list[Job], job: Job, result: Result) -> None:
    """Jobs of the same page that have never run are taken to need as long as the last one that did."""
    if result.ok:
        expected.update({other.output: result.seconds for other in queue if other.slug == job.slug and not read_status(Path(other.output))})


def _left(queue: list[Job], running: dict, expected: dict[str, float]) -> float:
    """Seconds until all is done, if each page takes as long as last time."""
    now = time.monotonic()
    begun = [max(1.0, expected[job.output] - (now - start)) for _, job, start in running.values()]
    waiting = sum(expected[job.output] for job in queue)
    return max([*begun, (sum(begun) + waiting) / max(1, len(begun))], default=0.0)


class Bar:
    """A progress bar of pages with the time left; where there is no terminal, a line for each finished page."""

    def __init__(self, total: int, enabled: bool):
        from tqdm import tqdm

        self.total, self.count, self.enabled = total, 0, enabled
        self.terminal = sys.stderr.isatty()
        layout = "{desc} {bar:20} {n_fmt}/{total_fmt} pages [{elapsed}]{postfix}"
        self.bar = tqdm(total=total, bar_format=layout, desc="running", disable=not (enabled and self.terminal), file=sys.stderr)

    def show(self, slugs: list[str], left: float) -> None:
        text = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        self.bar.set_postfix_str(f"about {text} left: {', '.join(slugs)}" if slugs else "")

    def done(self, result: Result) -> None:
        self.count += 1
        self.bar.update(1)
        if not result.ok and self.terminal:
            self.bar.write(f"  {result.slug}: {result.why.splitlines()[0]}", file=sys.stderr)
        if self.enabled and not self.terminal:
            print(f"{self.count}/{self.total} {result.slug} {result.state} {result.seconds or 0:.0f} s", file=sys.stderr, flush=True)

    def close(self) -> None:
        self.bar.close()


def summary(results: list[Result]) -> str:
    """A few lines for the terminal: counts, the slowest page, and each failure with its cell."""
    count = {state: sum(r.state == state for r in results) for state in ("ran", "fresh", "failed", "killed")}
    lines = [f"{count['ran']} ran, {count['fresh']} up to date, {count['failed'] + count['killed']} failed"]
    ran = [r for r in results if r.state == "ran"]
    if ran:
        slowest, largest = max(ran, key=lambda r: r.seconds), max(ran, key=lambda r: r.peak_mb)
        lines.append(f"slowest {slowest.slug} {slowest.seconds:.0f} s; largest {largest.slug} {largest.peak_mb} MB")
    lines += [f"FAILED {r.slug}: {r.why}" for r in results if not r.ok]
    return "\n".join(lines)


def require_notebooks(entries: list[Entry]) -> list[Entry]:
    """`entries`, or ClipkitError naming those that have no notebook yet."""
    missing = [entry.slug for entry in entries if not entry.has_notebook]
    if missing:
        raise ClipkitError(f"no notebook yet for {', '.join(missing)}; start one in a clone of the book with: make new NB={missing[0]}")
    return entries
