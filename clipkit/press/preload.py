"""Imported once by the fork server, so that each notebook's kernel starts with the slow imports already done."""

from __future__ import annotations

import contextlib
import importlib
import os

from clipkit.press.kernel import INLINE

os.environ["MPLBACKEND"] = INLINE  # before matplotlib reads it: figures of a page belong in the page
LIGHT = ("papermill", "ipykernel.kernelapp", "ipykernel.zmqshell")
SLOW = (
    *LIGHT,
    "scipy.stats",
    "pandas",
    "matplotlib.pyplot",
    "seaborn",
    "clipkit.lab",
    "clipkit.world",
    "clipkit.models",
    "clipkit.datasets",
)

light = os.environ.get("CLIPKIT_WARM") == "light"  # for tests of the runner itself, whose pages need none of it

for name in LIGHT if light else SLOW:
    with contextlib.suppress(Exception):  # a broken module is reported by the notebook that needs it, with its own traceback
        importlib.import_module(name)
if not light:
    with contextlib.suppress(Exception):
        importlib.import_module("clipkit.compat").import_open_clip()
