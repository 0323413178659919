"""One family of errors: each message says what is wrong and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

DISTRIBUTION = "clip-claim-by-claim"  # what pip calls the package: `clipkit` is another project's name there


class ClipkitError(Exception):
    """Something the caller can mend; the message says how."""


class MissingExtra(ClipkitError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed; install it with: pip install '{DISTRIBUTION}[{extra}]'")


def unknown(kind: str, name: object, choices: Iterable[str]) -> ClipkitError:
    """Error for a name that is not among `choices`; suggests the nearest ones.

    >>> print(unknown("style", "sketsh", ["flat", "sketch"]))
    unknown style 'sketsh'; did you mean 'sketch'? Choices: flat, sketch
    """
    choices = list(choices)
    near = difflib.get_close_matches(str(name), choices, n=2)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return ClipkitError(f"unknown {kind} {name!r}{hint} Choices: {', '.join(choices)}")
