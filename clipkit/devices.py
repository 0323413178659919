"""Where to compute: the one place that turns a device's name into a device that exists here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    import torch


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """`"auto"` is CUDA where there is one, else Apple's "mps", else the processor; anything else is given to torch.

    Raises ClipkitError for a device torch does not know or does not have.
    """
    import torch

    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except Exception as error:  # torch raises RuntimeError, AssertionError or ValueError, by backend
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ClipkitError(f"device {str(device)!r} cannot be used here ({why}); use device='auto' or 'cpu'") from error
    return resolved
