"""captions.csv as people save it: in several encodings, with commas, semicolons or tabs, and with the slips that tables have."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.notices import notice

_SEPARATORS = (",", ";", "\t")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class TableRow:
    """One line of the table: its number in the file (for messages) and its cells by column, trimmed."""

    line: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def read_table(path: Path, needed: tuple[str, ...]) -> tuple[list[str], list[TableRow]]:
    """(columns, rows) of a table with a header. Column names lose their capitals, cells the spaces around them, empty lines are left out.

    UTF-8 and UTF-16 are told apart, anything else is read as Windows-1252 and that is said; the separator is the one
    with which the header has the needed columns, or what Excel's first line "sep=;" says.

    Raises ClipkitError: a column missing or named twice, a line with more or fewer cells than the header (with its number),
    an encoding that is none of these.
    """
    text = _decoded(path)
    first, _, rest = text.partition("\n")
    named = re.fullmatch(r'"?sep=(.)"?\s*', first)
    lines_before = 1 if named else 0
    text = rest if named else text
    header = text.partition("\n")[0]
    separator = named.group(1) if named else max(_SEPARATORS, key=lambda s: len({*needed} & set(_header(header, s))))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        parsed, at = [], 1 + lines_before
        for cells in reader:
            parsed.append((at, [cell.strip() for cell in cells]))
            at = reader.line_num + 1 + lines_before
    except csv.Error as error:
        raise ClipkitError(f"{path}, after line {at - 1}: {error}; close or double the quotation mark there") from error
    parsed = [(at, cells) for at, cells in parsed if any(cells)]
    columns = [cell.lower() for cell in parsed[0][1]] if parsed else []
    for column in needed:
        if column not in columns:
            raise ClipkitError(f"{path} has no column {column!r}; its columns are: {', '.join(columns) or '(none)'}")
    if twice := [column for column in columns if column and columns.count(column) > 1]:
        raise ClipkitError(f"{path} has two columns {twice[0]!r}; remove one")
    for at, cells in parsed[1:]:
        extra = len(cells) - len(columns)
        if extra > 0 and not any(cells[len(columns) :]):
            continue  # separators at the end of a line, as spreadsheets write them
        if extra:
            advice = (
                'put a text that holds the separator in quotation marks: "a cat, asleep"' if extra > 0 else "fill in the rest of the line"
            )
            raise ClipkitError(f"{path}, line {at}: {len(cells)} cells, but the header has {len(columns)} columns; {advice}")
    return columns, [TableRow(at, dict(zip(columns, cells, strict=False))) for at, cells in parsed[1:]]


def _header(line: str, separator: str) -> list[str]:
    return [cell.strip().lower() for cell in next(csv.reader([line], delimiter=separator), [])]


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for bom, name in _BOMS if content.startswith(bom)), None)
    if encoding is None and 0 in content[:2]:  # UTF-16 without its mark: every other byte of the header is 0
        encoding = "utf-16-be" if content[0] == 0 else "utf-16-le"
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise ClipkitError(
                f"{path} is damaged: it begins as {encoding}, but byte {error.start} is not; save it again as UTF-8"
            ) from error
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise ClipkitError(f"{path} is neither UTF-8 nor UTF-16 (byte {error.start}); save it as CSV in UTF-8") from error
        line = len(content[: error.start + 1].decode("cp1252").splitlines())
        shown = text.splitlines()[line - 1].strip()
        notice(f"{path.name} is not in UTF-8 and was read as Windows-1252; if line {line} should not read {shown!r}, save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
