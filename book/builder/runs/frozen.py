"""Frozen before run: a page is recorded only when its registry entry is committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.paths import shipped
from clipkit.registry.papers import Entry, yaml_entries


def require_committed(entry: Entry) -> str:
    """The commit (40 hex digits) that holds the registry's entry as it is now.

    Raises ClipkitError: the entry is new or changed since the last commit, or the registry is in no git repository.
    """
    path = shipped("papers.yml")
    commit = _git(path.parent, "rev-parse", "HEAD")
    if commit is None:
        raise ClipkitError(f"{path.name} is in no git repository with a commit; claims are fixed there before a page is recorded")
    now = yaml_entries(path.read_text(encoding="utf-8"), path.name).get(entry.slug)
    if now is None or now != entry_at(commit.strip(), entry.slug):
        raise ClipkitError(f"the entry {entry.slug} of {path.name} is not committed as it is now; commit it, then record the page")
    return commit.strip()


def entry_at(commit: str, slug: str) -> dict | None:
    """The entry as it was written at a commit; None when it was not there, or this clone does not have the commit."""
    path = shipped("papers.yml")
    text = _git(path.parent, "show", f"{commit}:./{path.name}")
    return None if text is None else yaml_entries(text, path.name).get(slug)


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    except OSError:  # no git on this machine
        return None
    return done.stdout if done.returncode == 0 else None
