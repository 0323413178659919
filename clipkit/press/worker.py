"""One notebook in one process: run it with papermill, write the executed copy and a status file beside it."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from clipkit.registry.records import write_json

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Job:
    """What a worker is told: everything plain, so that it crosses to another process."""

    slug: str
    source: str
    output: str
    parameters: dict
    parts: dict = field(repr=False)  # what the result depends on (hashing.run_parts)
    key: str = ""
    forked: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """What people are shown: the page, or the combination of a sweep."""
        return self.label or self.slug


def status_path(output: Path | str) -> Path:
    return Path(output).with_suffix(".json")


def partial_path(output: Path | str) -> Path:
    """Where a notebook is written while it runs."""
    return Path(output).with_suffix(".partial.ipynb")


def write_failure(job: Job, why: str, seconds: float | None = None, peak_mb: int | None = None) -> None:
    """The status of a job that no notebook of its own tells about."""
    failed = {"slug": job.slug, "ok": False, "error": {"cell": None, "line": "", "error": why}, "key": job.key}
    about = {"seconds": seconds, "peak_mb": peak_mb, "parameters": job.parameters, "parts": job.parts}
    Path(job.output).parent.mkdir(parents=True, exist_ok=True)
    write_json(status_path(job.output), failed | about)


def run_job(job: Job, environ: dict[str, str] | None = None) -> None:
    """Execute `job.source` into `job.output`; always leaves a status file unless the process itself is killed.

    `environ` is the runner's environment: a fork server keeps the one of its own start.
    """
    if environ is not None:
        os.environ.clear()
        os.environ.update(environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.pop("CLIPKIT_PRESET", None)  # the preset of this run is a parameter; the variable is for nbval
    from clipkit.press import kernel

    if job.forked:
        kernel.fork_kernel()
    os.environ["MPLBACKEND"] = kernel.INLINE
    started = time.perf_counter()
    output = Path(job.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(output)
    error = _execute(job, partial)
    if partial.exists():
        partial.replace(output)
    status = {
        "slug": job.slug,
        "ok": error is None,
        "error": error,
        "key": job.key,
        "seconds": round(time.perf_counter() - started, 2),
        "peak_mb": _peak_mb(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": job.parameters,
        "parts": job.parts,
    }
    write_json(status_path(output), status)


def _execute(job: Job, output: Path) -> dict | None:
    """None when all went well, else {cell, line, error}; `cell` counts the code cells of the committed notebook."""
    import logging
    import warnings

    import papermill
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about notebook formats and event loops, not about the page
            papermill.execute_notebook(
                job.source,
                str(output),
                parameters=job.parameters,
                engine_name="clipkit",
                kernel_name="python3",
                language="python",
                progress_bar=False,
                start_timeout=300,
            )
    except PapermillExecutionError as failure:
        first = next((line for line in failure.source.splitlines() if line.strip()), "")
        return {
            "cell": (failure.exec_count or 1) - bool(job.parameters),
            "line": first,
            "error": f"{failure.ename}: {ANSI.sub('', failure.evalue)}",
        }
    except Exception as failure:  # the kernel died, the disk is full: still a status, never a silent gap
        return {"cell": None, "line": "", "error": f"{type(failure).__name__}: {failure}"}
    return None


def _peak_mb() -> int:
    """Largest resident memory among this process's finished children: the kernel."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
