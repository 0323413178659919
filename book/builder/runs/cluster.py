"""The runner's jobs on a Dask cluster, one task a notebook; the scheduler does the queueing, the retries and the moving."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable
from pathlib import Path

from clipkit.errors import ClipkitError, MissingExtra
from clipkit.press.runner import Bar, Result, expected_seconds, fresh_and_todo, learn, outcome
from clipkit.press.task import remote
from clipkit.press.worker import Job, partial_path, status_path
from clipkit.registry.records import write_json

PATIENCE = "10s"  # for the scheduler to answer; workers are waited for as long as it takes, for a queue may hold them


def run_on_cluster(jobs: Iterable[Job], scheduler: str, force: bool = False, progress: bool = True) -> list[Result]:
    """Run jobs on the workers of a Dask scheduler; results in the order of `jobs`, as `runner.run_jobs` gives them.

    Every executed notebook is written here as soon as it is finished. The work of a worker that dies is given to
    another; a combination that four workers died of is reported as killed.

    Arguments:
        scheduler: its address, `tcp://host:port`.

    Raises ClipkitError when no scheduler answers there.
    """
    jobs = list(jobs)
    results, todo = fresh_and_todo(jobs, force)
    if todo:
        client = _connect(scheduler)
        try:
            _run(client, todo, results, force, progress)
        finally:
            client.close()
    return [results[job.output] for job in jobs]


def _connect(scheduler: str):
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("dask.distributed", "cluster") from None
    try:
        return Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ClipkitError(f"no Dask scheduler answers at {scheduler} ({first}); start one with: dask scheduler") from error


def _run(client, todo: list[Job], results: dict[str, Result], force: bool, progress: bool) -> None:
    from distributed import as_completed

    # The key is the content hash: a second caller with the same work shares it. Forcing makes the work new.
    suffix = f"-{uuid.uuid4().hex[:8]}" if force else ""
    texts = {job.source: Path(job.source).read_text(encoding="utf-8") for job in todo}
    futures = {client.submit(remote, job, texts[job.source], key=f"clipkit-{job.key}{suffix}"): job for job in todo}
    expected = {job.output: expected_seconds(job) for job in todo}
    bar = Bar(len(todo), progress)
    workers = sum(client.nthreads().values())
    if not workers and progress:
        print("no worker has joined the scheduler yet; waiting for one", file=sys.stderr)
    try:
        for future in as_completed(list(futures), loop=client.loop):
            job = futures.pop(future)
            results[job.output] = result = _take(future, job)
            future.release()  # it is home: a worker that dies now must not cost its being run again
            waiting = list(futures.values())
            learn(expected, waiting, job, result)
            workers = sum(client.nthreads().values())
            bar.done(result)
            bar.show([f"{workers} at a time"], sum(expected[other.output] for other in waiting) / max(1, workers))
    finally:
        client.cancel(list(futures))
        bar.close()


def _take(future, job: Job) -> Result:
    """Bring one finished task home: executed notebook, status, result."""
    if future.status == "finished":
        notebook, status = future.result()
        output = Path(job.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        if notebook is not None:
            partial_path(output).write_text(notebook, encoding="utf-8")
            partial_path(output).replace(output)
        write_json(status_path(output), status)
        return outcome(job, 0)
    if future.status == "error":
        failure = future.exception()
        why = f"{type(failure).__name__}: {failure}".splitlines()[0]
    else:
        why = f"the cluster let it go ({future.status}); the same command goes on from here"
    return Result(job.name, "killed", why, output=Path(job.output))
