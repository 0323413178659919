"""Lazy rooms: every listed name is there, none but these, and a room costs nothing before it is used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

ROOMS = ["world", "generate", "language", "score"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_can_be_imported_and_no_other(room):
    module = importlib.import_module(f"clipkit.{room}")
    assert module.__all__ == sorted(set(module.__all__))
    for name in module.__all__:
        value = getattr(module, name)
        assert value is getattr(module, name) and name in vars(module)
    with pytest.raises(AttributeError, match=f"module 'clipkit.{room}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_rooms_import_no_torch_before_they_are_used():
    code = f"import sys; {'; '.join(f'import clipkit.{room}' for room in ROOMS)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
