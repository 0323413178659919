"""The pictures of one seed for few-shot learning: nested shots, validation, test; some classes only, or unbalanced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError

Rows = tuple[Tensor, Tensor]  # features or pixels (N, ...), labels (N,) int64


@dataclass(frozen=True, eq=False)
class FewShot:
    """Features (N, D) float32 and labels (N,) int64 for one seed; names and templates are the data set's.

    pool: training pictures that are not used for validation, in the seed's random order. turn: (N_pool,) how many pictures of
    its own class come before each.
    """

    pool: Rows
    turn: np.ndarray
    val: Rows
    test: Rows
    classnames: list[str]
    templates: list[str]

    def shots(self, k: int) -> Rows:
        """The first k pictures of each class: fewer shots are contained in more. A class that has fewer gives all."""
        few = torch.as_tensor(self.turn < k)
        return self.pool[0][few], self.pool[1][few]

    def of(self, classes) -> FewShot:
        """The same with some classes only, ascending, their labels counted anew from 0.

        Raises ClipkitError: no class, one named twice, or one that does not exist.
        """
        classes = torch.as_tensor(classes).flatten().sort().values
        n = len(self.classnames)
        if not len(classes) or len(classes.unique()) < len(classes) or classes[0] < 0 or classes[-1] >= n:
            raise ClipkitError(f"classes must be different numbers from 0 to {n - 1}, at least one; got {classes.tolist()}")

        def part(rows: Rows) -> Rows:
            keep = torch.isin(rows[1], classes)
            return rows[0][keep], torch.searchsorted(classes, rows[1][keep])

        turn, names = self.turn[torch.isin(self.pool[1], classes).numpy()], [self.classnames[c] for c in classes.tolist()]
        return FewShot(part(self.pool), turn, part(self.val), part(self.test), names, self.templates)

    def thinned(self, shots) -> FewShot:
        """Unbalanced: at most shots[c] training pictures of class c, and its share of validation pictures, rounded up.

        A class with the most shots keeps all its validation pictures. Test pictures stay as they are.

        Raises ClipkitError unless there is one whole number, at least 1, for each class.
        """
        shots = torch.as_tensor(shots)
        if shots.shape != (len(self.classnames),) or shots.is_floating_point() or shots.min() < 1:
            raise ClipkitError(f"shots must be {len(self.classnames)} whole numbers of at least 1, one for each class")
        keep = torch.as_tensor(self.turn) < shots[self.pool[1]]
        turn = torch.as_tensor(turns(self.val[1].numpy()))
        most = torch.bincount(self.val[1], minlength=len(shots))
        keep_val = turn < (most * shots / shots.max()).ceil()[self.val[1]]
        pool, val = ((rows[0][kept], rows[1][kept]) for rows, kept in ((self.pool, keep), (self.val, keep_val)))
        return FewShot(pool, self.turn[keep.numpy()], val, self.test, self.classnames, self.templates)


def turns(labels: np.ndarray) -> np.ndarray:
    """(N,) how many equal labels come before each.

    >>> turns(np.array([3, 1, 3, 3])).tolist()
    [0, 0, 1, 2]
    """
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - starts
    return turn
