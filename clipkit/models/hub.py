"""Talking to a model hub: quick to notice that there is none, one message when there is none."""

from __future__ import annotations

import logging
import os
import socket
import urllib.parse
import urllib.request
from contextlib import contextmanager

from clipkit.errors import ClipkitError

PATIENCE = 3.0  # seconds to wait for a first connection


def hub_reachable(timeout: float = PATIENCE) -> bool:
    """Whether a connection to the hub (or to the proxy on the way) opens within `timeout` seconds."""
    target = urllib.parse.urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy:
        target = urllib.parse.urlparse(proxy if "://" in proxy else f"http://{proxy}")
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        with socket.create_connection((target.hostname, port), timeout=timeout):
            return True
    except (OSError, TypeError):
        return False


@contextmanager
def hub_guard(what: str, ways_out: str):
    """Run a step that may download. Without a connection only files already on the machine are looked at.

    The hub library retries for half a minute a file when it cannot connect; one short attempt beforehand
    saves that. Raises ClipkitError("`what` …; `ways_out`") for whatever the step raises.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        if not before and not hub_reachable():
            constants.HF_HUB_OFFLINE = True
        with quiet_root_logger():
            yield
    except ClipkitError:
        raise
    except Exception as error:
        reason = "the hub cannot be reached" if constants.HF_HUB_OFFLINE else str(error).strip().splitlines()[-1:] or type(error).__name__
        reason = reason if isinstance(reason, str) else reason[0]
        raise ClipkitError(f"{what}: {reason}. {ways_out}") from error
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def quiet_root_logger():
    """open_clip logs through the root logger; keep its chatter off the page, our errors say what matters."""
    root = logging.getLogger()
    handler = logging.NullHandler()  # present, so that logging does not configure itself
    root.addHandler(handler)

    def drop(record: logging.LogRecord) -> bool:
        return False

    root.addFilter(drop)
    try:
        yield
    finally:
        root.removeFilter(drop)
        root.removeHandler(handler)
