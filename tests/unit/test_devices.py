"""Devices: what exists is resolved, what does not is one clear error."""

from __future__ import annotations

import pytest
import torch

from clipkit.devices import resolve_device
from clipkit.errors import ClipkitError


def test_what_exists():
    assert resolve_device("cpu") == torch.device("cpu") == resolve_device(torch.device("cpu"))
    assert torch.ones(2, device=resolve_device()).sum().item() == 2


def test_auto_prefers_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device().type == "cuda"


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "cuda:999"])
def test_what_does_not_exist(device):
    with pytest.raises(ClipkitError, match="use device='auto' or 'cpu'"):
        resolve_device(device)
