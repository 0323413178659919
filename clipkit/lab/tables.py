"""Tables that read on a phone: plain HTML that scrolls, with a text form beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.errors import unknown

if TYPE_CHECKING:
    import pandas

MINUS = "\N{MINUS SIGN}"


def number(value: object, digits: int = 1, sign: bool = False) -> str:
    """A number as printed in the book: fixed decimals, a true minus, no minus zero; "–" for NaN or nothing.

    >>> number(-0.04), number(2.345, 2, sign=True)
    ('0.0', '+2.35')
    """
    if value is None or value != value:
        return "–"
    text = f"{float(value):.{digits}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", MINUS) if text.startswith("-") else ("+" if sign else "") + text


@dataclass(frozen=True)
class Table:
    """A table that shows itself: HTML in a notebook, aligned text elsewhere."""

    html: str
    text: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def table(
    df: pandas.DataFrame,
    caption: str = "",
    formats: Mapping[str, str | int | Callable[[object], str]] | int = 1,
    index: bool = True,
) -> Table:
    """A data frame for the page.

    Arguments:
        df: at most a few dozen rows.
        caption: what the table says, in a sentence.
        formats: decimals for all number columns, or column -> decimals, format string ("{:.2e}") or function.
        index: print the row labels.

    Raises ClipkitError when `formats` names a column the frame does not have.
    """
    if isinstance(formats, Mapping):
        for name in formats:
            if name not in df.columns:
                raise unknown("column in formats", name, map(str, df.columns))
    heads = [str(df.index.name or "")] * index + [str(name) for name in df.columns]
    numeric = [False] * index + [df[name].dtype.kind in "fiu" for name in df.columns]
    columns = [[str(label) for label in df.index]] if index else []
    for name in df.columns:
        rule = formats.get(name, 1) if isinstance(formats, Mapping) else formats
        columns.append([_cell(value, rule, df[name].dtype.kind) for value in df[name]])
    rows = [list(row) for row in zip(*columns, strict=True)]
    page = _template().render(heads=heads, rows=rows, caption=caption, numeric=numeric, row_heads=index)
    return Table(page, to_text(heads, rows, caption, numeric))


@cache
def _template():
    from jinja2 import Template

    text = (Path(__file__).with_name("templates") / "table.html").read_text(encoding="utf-8")
    return Template(text, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _cell(value: object, rule: object, kind: str) -> str:
    if callable(rule):
        return str(rule(value))
    if isinstance(rule, str):
        return rule.format(value)
    if kind == "f":
        return number(value, int(rule))
    return number(value, 0) if kind in "iu" else str(value)


def to_text(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", numeric: Sequence[bool] = ()) -> str:
    """The same as aligned text."""
    numeric = list(numeric) or [False] * len(heads)
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, numeric, strict=True)).rstrip()

    return "\n".join([*([caption] if caption else []), line(heads), "  ".join("-" * w for w in widths), *map(line, rows)])
