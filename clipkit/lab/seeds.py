"""Seeds of all the generators at once, and how many cores a page uses."""

from __future__ import annotations

import random
import sys

from clipkit.errors import ClipkitError

LARGEST = 2**32 - 1  # numpy's legacy generator takes no more


def seed_everything(seed: int, torch: bool | None = None) -> int:
    """Seed Python's, numpy's and torch's global generators; returns the seed.

    Arguments:
        seed: 0 <= seed < 2**32.
        torch: seed torch too; None means only if it is imported already.

    Raises ClipkitError for a seed outside the range.
    """
    if not 0 <= seed <= LARGEST:
        raise ClipkitError(f"seed {seed} is out of range: take a whole number from 0 to {LARGEST}")
    import numpy

    random.seed(seed)
    numpy.random.seed(seed)  # noqa: NPY002  what libraries draw from it must be fixed as well
    if torch or (torch is None and "torch" in sys.modules):
        import torch as torch_module

        torch_module.manual_seed(seed)
    return seed


def limit_threads(threads: int) -> None:
    """Let torch use `threads` cores, for runs side by side."""
    import torch

    torch.set_num_threads(threads)
