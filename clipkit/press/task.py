"""One notebook as a task for another machine: it arrives as text, runs there, and goes home as text.

`remote` is what a Dask worker calls. Workers run tasks in threads and may not fork, so it starts this file as a
process of its own, which does what a local worker does. No shared file system is needed but for the data a page reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

from clipkit.press.worker import Job, run_job, status_path, write_failure


def remote(job: Job, notebook: str) -> tuple[str | None, dict]:
    """Run `notebook` (text of an .ipynb) with the job's parameters; returns the executed notebook and the status.

    The notebook is None when none was written. Raises RuntimeError when the process ended without a status.
    """
    with tempfile.TemporaryDirectory(prefix="clipkit-") as folder:
        source, output = Path(folder, "source.ipynb"), Path(folder, "output.ipynb")
        source.write_text(notebook, encoding="utf-8")
        here = replace(job, source=str(source), output=str(output), forked=False)
        order = json.dumps({"job": asdict(here), "parent": os.getpid()})
        done = subprocess.run([sys.executable, "-m", "clipkit.press.task"], input=order, capture_output=True, text=True)
        if not status_path(output).is_file():
            how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
            raise RuntimeError(f"its process was killed ({how}): {done.stderr.strip()[-300:]}")
        status = json.loads(status_path(output).read_text(encoding="utf-8"))
        return (output.read_text(encoding="utf-8") if output.is_file() else None), status


def missing_here(job: Job) -> list[str]:
    """In what this machine's code, packages, models and data differ from those the job was made with; empty when in nothing."""
    from clipkit.press import hashing, notebooks
    from clipkit.registry.papers import load_registry

    notebook = notebooks.read(Path(job.source))
    given = {**notebooks.parameters(notebook), **job.parameters}
    return hashing.differences(job.parts, hashing.run_parts(load_registry().entry(job.slug), notebook, given))


def main() -> None:
    order = json.load(sys.stdin)
    job = Job(**order["job"])
    threading.Thread(target=_end_with, args=(order["parent"],), daemon=True).start()
    differs = missing_here(job)
    if differs:
        shown = ", ".join(differs[:5]) + (f" and {len(differs) - 5} more" if len(differs) > 5 else "")
        told = f"a worker differs from the caller in: {shown}; give it the same checkout, packages and data"
        write_failure(job, told, seconds=0.0, peak_mb=0)
        return
    run_job(job)


def _end_with(parent: int) -> None:
    """A worker that is killed takes its notebook with it: the kernel watches this process, and this one the worker."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
