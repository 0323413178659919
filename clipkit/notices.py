"""What a run has to say aloud without stopping: logged once, and kept for the page and the record."""

from __future__ import annotations

import logging

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
