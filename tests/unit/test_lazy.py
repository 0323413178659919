"""Lazy rooms: every listed name is there and is not hidden by a file, and a room costs nothing before it is used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

ROOMS = ["adapt", "dense", "features", "generate", "language", "pretrain", "robust", "score", "world", "zeroshot"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_can_be_imported_and_no_other(room):
    module = importlib.import_module(f"clipkit.{room}")
    assert len(module.__all__) == len(set(module.__all__)) and set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert not isinstance(getattr(module, name), ModuleType), f"{name} is a file, not what it defines"
    with pytest.raises(AttributeError, match="nothing"):
        module.nothing  # noqa: B018


def test_rooms_import_no_torch_before_they_are_used():
    code = f"import sys; {'; '.join(f'import clipkit.{room}' for room in ROOMS)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
