"""The linear probe: logistic regression on frozen features, its two choices made on validation pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right

STRENGTHS = tuple(10.0**k for k in range(-3, 4))  # scikit-learn's C, the inverse of the weight decay


class LinearProbe:
    """scikit-learn's logistic regression, with scaling and strength chosen on a validation split.

    Protocol: every pair of (standardise or not, C in `strengths`) is fitted on the training features alone; the one
    with the best validation accuracy is kept, the first of equals (no standardising before standardising, strong
    regularisation before weak). Test features can enter only through `predict`, `logits` and `score`.

    Attributes after `fit`:
        chosen_: {"standardise": bool, "strength": float, "validation": percent right}.
        classes_: (C,) int64, the labels seen in training.

    >>> x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> LinearProbe().fit(x, [0, 0, 1, 1], x, [0, 0, 1, 1]).score(x, [0, 0, 1, 1])
    100.0

    Source: the few-shot protocol of arXiv:2103.00020, section 3.1.5. That paper takes the features before the
    projection to the joint space; here the caller decides.
    """

    def __init__(self, strengths: Sequence[float] = STRENGTHS, max_iter: int = 1000):
        if not len(strengths) or min(strengths) <= 0:
            raise ClipkitError(f"strengths must be positive numbers, at least one; got {list(strengths)}")
        self.strengths, self.max_iter = tuple(strengths), max_iter

    def fit(self, x: Tensor, y: Tensor, x_val: Tensor, y_val: Tensor) -> LinearProbe:
        """Train on (N, D) features and (N,) labels, choose on (M, D) and (M,).

        Raises ClipkitError: shapes that do not match, NaN, one class only, no validation pictures.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        (x, y), (x_val, y_val) = _pair(x, y), _pair(x_val, y_val, np.shape(x)[-1])
        if len(np.unique(y)) < 2:
            raise ClipkitError("a linear probe needs training pictures of at least two classes")
        best = -1.0
        for standardise in (False, True):
            for strength in self.strengths:
                scaling = StandardScaler() if standardise else "passthrough"
                model = make_pipeline(scaling, LogisticRegression(C=strength, max_iter=self.max_iter))
                with warnings.catch_warnings():  # with one shot a class it takes the labels for a regression target
                    warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
                    model.fit(x, y)
                right = percent_right(model.predict(x_val), y_val)
                if right > best:
                    best, self._model = right, model
                    self.chosen_ = {"standardise": standardise, "strength": float(strength), "validation": right}
        self.classes_ = self._model.classes_
        return self

    def predict(self, x: Tensor) -> np.ndarray:
        """Labels (N,) int64 of features (N, D)."""
        return checks.fitted(self, "_model").predict(_array(x))

    def logits(self, x: Tensor) -> np.ndarray:
        """Log-probabilities (N, C), columns in the order of `classes_`."""
        return checks.fitted(self, "_model").predict_log_proba(_array(x))

    def score(self, x: Tensor, y: Tensor) -> float:
        """Percent right."""
        x, y = _pair(x, y)
        return percent_right(self.predict(x), y)


def _array(x, width: int | None = None) -> np.ndarray:
    return checks.features(checks.tensor(x, "features").detach().double(), width=width).cpu().numpy()


def _pair(x, y, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    return _array(x, width), checks.labels(y, len(x)).cpu().numpy()
