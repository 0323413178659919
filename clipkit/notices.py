"""What a run has to say aloud without stopping: logged once, and kept for the page and the record."""

from __future__ import annotations

import logging
from collections.abc import Iterable

log = logging.getLogger("clipkit")
_said: dict[str, None] = {}  # in the order in which they were said


def notice(message: str) -> None:
    """Warn of something that the caller should know (skipped pictures, fewer than asked, an assumption): once until `forget`."""
    if message not in _said:
        _said[message] = None
        log.warning(message)


def notices() -> list[str]:
    """Everything said since the last `forget`, oldest first."""
    return list(_said)


def forget() -> None:
    """Begin a new run: what was said before may be said again."""
    _said.clear()


def say_cut(model, texts: Iterable[str]) -> int:
    """Say how many different texts are longer than what a DualEncoder reads, its context length; returns how many.

    A network without a text tower reads none, so cuts none. A text is cut when neither another word at its end nor a letter
    less changes its tokens.
    """
    if not getattr(model, "has_text", True):
        return 0
    long = [t for t in dict.fromkeys(map(str.strip, texts)) if len(t.encode()) > model.context_length - 3]  # a token has a byte at least
    if not long:
        return 0
    tokens, longer, shorter = (model.tokenize([t[:end] + more for t in long]) for end, more in ((None, ""), (None, " a"), (-1, "")))
    cut = ((tokens == longer) & (tokens == shorter)).all(1).tolist()
    if any(cut):
        first = long[cut.index(True)]
        notice(f"{model.name} reads {model.context_length} tokens: {sum(cut)} texts are longer and cut, the first is {first[:80]!r} …")
    return sum(cut)
