"""Frozen before run: a page is recorded only when its registry entry is committed, and what moves later has its reason."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.paths import shipped
from clipkit.registry.claims import Claim, ClaimTest, checked
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


def unexplained(entry: Entry, then: Mapping, recorded: date) -> list[str]:
    """Ids of the claims whose tests moved after a record without a line under `changes` that says so.

    Arguments:
        then: the entry as it was when the record was made (`entry_at`).
        recorded: day of the record; a change counts from that day on.
    """
    before = {claim["id"]: claim for claim in then["claims"]}
    moved = [claim for claim in entry.claims if claim.tests and claim.fixed() != _fixed(before.get(claim.id), entry.slug)]
    return [claim.id for claim in moved if not any(change.date >= recorded for change in claim.changes)]


def _fixed(claim: Mapping | None, slug: str) -> list[dict]:
    if claim is None:
        return []
    if "test" in claim and "baseline" in claim["test"]:  # the shape before baselines, nulls and origins
        test = {key: value for key, value in claim["test"].items() if key not in ("baseline", "note", "scale")}
        given = claim["test"]["baseline"]
        test["baselines"] = [given] if isinstance(given, str) else given or []
        if not test["baselines"] and test["kind"] != "trend":
            test |= {"null": 0, "kind": "above" if test["kind"] == "better" else test["kind"]}
        return Claim(id="C1", text="-", origin="ours", test=checked(ClaimTest, test, slug)).fixed()
    return checked(Claim, claim, slug).fixed()


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    except OSError:  # no git on this machine
        return None
    return done.stdout if done.returncode == 0 else None
