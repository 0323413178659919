"""`text:PATH`: a table of texts that people rated, with what they were written from."""

from __future__ import annotations

from typing import NamedTuple

from clipkit.datasets.local_paths import find
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError
from clipkit.paths import hash_file


class RatedDocument(NamedTuple):
    """rated: the texts written from the source, each with its rating."""

    source: str
    references: list[str]
    rated: list[tuple[str, float]]


class RatedTexts:
    """The documents of a table, in its order; `run.uses` takes it as a data set without images.

    Columns: text, rating (a number, higher is better), and source or reference or both; each column whose name begins with
    "reference" is one reference. Rows of one `document` belong together; without such a column those with the same source and
    references do. A missing source is the references in a row, a missing reference the source.

    Raises ClipkitError: no such file, columns missing, a rating that is no number, neither source nor reference (with the line).
    """

    images = ()

    def __init__(self, name: str):
        path = find(name.partition(":")[2])
        if not name.startswith("text:") or not path.is_file():
            raise ClipkitError(f"{name} is no table of texts; give text:PATH of a CSV with columns text, rating, and source or reference")
        columns, rows = read_table(path, ("text", "rating"))
        given, found = [c for c in columns if c.startswith("reference")], {}
        for row in rows:
            source, references = row.cells.get("source", ""), [row[c] for c in given if row[c]]
            if not (source or references):
                raise ClipkitError(f"{name}, line {row.line}: neither source nor reference; a text is judged by one of them")
            try:
                rated = row["text"], float(row["rating"])
            except ValueError:
                raise ClipkitError(f"{name}, line {row.line}: the rating {row['rating']!r} is no number") from None
            document = RatedDocument(source or " ".join(references), references or [source], [])
            found.setdefault(row.cells.get("document") or (source, *references), document).rated.append(rated)
        self.name, self.documents, self.fingerprint = name, list(found.values()), hash_file(path)
