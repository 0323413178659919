"""The registry: data/papers.yml, validated once and read by everything that prints facts about papers."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from clipkit.errors import ClipkitError, unknown
from clipkit.paths import ROOT, in_checkout, shipped
from clipkit.registry.claims import Claim, Model, Text, checked
from clipkit.registry.parts import PARTS, BookPart


class Entry(Model):
    """One page of the book's own: it stands in the registry's list `foundations`, and may name another part than that.

    A page about a paper is a `Paper`; here the facts about a paper are empty.
    """

    is_paper: ClassVar[bool] = False

    slug: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
    title: Text
    part: Literal[tuple(part.id for part in PARTS)] = "foundations"
    tags: Annotated[tuple[Text, ...], Field(strict=False)]
    idea: Annotated[str, StringConstraints(min_length=1, max_length=160)]
    claims: Annotated[tuple[Claim, ...], Field(strict=False)]
    authors: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    year: Annotated[int, Field(ge=1950, le=2100)] | None = None
    venue: str | None = None
    arxiv: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{4,5}$|^[a-z-]+/\d{7}$")] | None = None
    code: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    doi: str | None = None
    note: str | None = None
    # of a reader's pictures it trains on some, tests on all, wants masks, captions with boxes, or a dot for each object
    own_pictures: Literal["split", "test", "masks", "boxes", "dots"] = "split"

    @model_validator(mode="after")
    def _own_ids(self) -> Entry:
        for claim_id, count in Counter(claim.id for claim in self.claims).items():
            if count > 1:
                raise ValueError(f"claim id {claim_id!r} is used {count} times; claim ids are unique on a page")
        return self

    @property
    def notebook_path(self) -> Path:
        """Where the page's notebook lives, whether or not it is written yet."""
        return notebooks_dir() / self.part / f"{self.slug}.ipynb"

    @property
    def has_notebook(self) -> bool:
        return self.notebook_path.is_file()

    def claim(self, claim_id: str) -> Claim:
        """The claim named `claim_id`; ClipkitError when the entry has none of that name."""
        for claim in self.claims:
            if claim.id == claim_id:
                return claim
        raise unknown(f"claim of {self.slug}", claim_id, [claim.id for claim in self.claims])

    def code_text(self) -> str:
        """The entry as canonical text, for hashing."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, ensure_ascii=False)


class Paper(Entry):
    """The page of a paper: its facts are stated, and one of its claims is the abstract's main sentence."""

    is_paper: ClassVar[bool] = True

    part: Literal[tuple(part.id for part in PARTS)]
    authors: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
    year: Annotated[int, Field(ge=1950, le=2100)]
    venue: str | None
    arxiv: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{4,5}$|^[a-z-]+/\d{7}$")] | None
    code: Annotated[str, StringConstraints(pattern=r"^https?://")] | None

    @model_validator(mode="after")
    def _one_headline(self) -> Paper:
        headlines = [claim.id for claim in self.claims if claim.origin == "headline"]
        if self.claims and len(headlines) != 1:
            raise ValueError(
                f"exactly one claim has `origin: headline`, the abstract's main sentence; here {', '.join(headlines) or 'none'}"
            )
        return self


@dataclass(frozen=True)
class Registry:
    """All entries, in the order of the file: foundations first, then papers."""

    entries: tuple[Entry, ...]

    def __post_init__(self):
        object.__setattr__(self, "_by_slug", {entry.slug: entry for entry in self.entries})

    def entry(self, slug: str) -> Entry:
        try:
            return self._by_slug[slug]
        except KeyError:
            raise unknown("page", slug, self._by_slug) from None

    def papers(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_paper]

    def foundations(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.is_paper]

    def finished(self) -> list[Entry]:
        """Entries with a notebook, in reading order."""
        return [entry for part in self.parts() for entry in self.of_part(part.id) if entry.has_notebook]

    def of_part(self, part_id: str) -> list[Entry]:
        """A part's entries: its papers in the order of the file, then the book's own studies."""
        return sorted((entry for entry in self.entries if entry.part == part_id), key=lambda entry: not entry.is_paper)

    def parts(self) -> list[BookPart]:
        """The parts that have entries, in reading order."""
        used = {entry.part for entry in self.entries}
        return [part for part in PARTS if part.id in used]


def notebooks_dir() -> Path:
    """The folder of notebooks: beside CLIPKIT_DATA, so that a test may bring its own pair; else a checkout's; else the current folder's."""
    if named := os.environ.get("CLIPKIT_DATA"):
        beside = Path(named).resolve().parent / "notebooks"
        if beside.is_dir():
            return beside
    return (ROOT if in_checkout() else Path.cwd()) / "notebooks"


def load_registry(path: Path | str | None = None) -> Registry:
    """Read and check the registry; the result is kept until the file changes.

    Raises ClipkitError naming the entry and the field that is wrong.
    """
    path = Path(path) if path else shipped("papers.yml")
    if not path.is_file():
        raise ClipkitError(f"no registry at {path.name}: set CLIPKIT_DATA to a folder that holds papers.yml")
    return _load(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, _mtime: int) -> Registry:
    document = yaml_document(path.read_text(encoding="utf-8"), path.name)
    entries = []
    for kind, key in ((Entry, "foundations"), (Paper, "papers")):
        for position, row in enumerate(document.get(key) or []):
            slug = row.get("slug") if isinstance(row, dict) else None
            entries.append(checked(kind, row, f"{path.name}, entry {slug!r}" if slug else f"{path.name}, {key} entry {position + 1}"))
    for slug, count in Counter(entry.slug for entry in entries).items():
        if count > 1:
            raise ClipkitError(f"{path.name}: slug {slug!r} is used by {count} entries; give each entry its own slug")
    return Registry(tuple(entries))


def yaml_document(text: str, name: str) -> dict:
    """The registry's text as plain values. Raises ClipkitError when it is no YAML, or holds no list of papers."""
    import yaml

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ClipkitError(f"{name} is not valid YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("papers"), list):
        raise ClipkitError(f"{name} needs a list under the key `papers`")
    return document


def yaml_entries(text: str, name: str) -> dict[str, dict]:
    """Slug -> entry as it is written, unchecked: to compare the registry of two commits."""
    document = yaml_document(text, name)
    return {row["slug"]: row for row in [*(document.get("foundations") or []), *document["papers"]]}


def entry(slug: str) -> Entry:
    """The entry named `slug`; ClipkitError with the nearest names when there is none."""
    return load_registry().entry(slug)
