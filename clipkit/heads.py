"""`Head`: what every classifier on features has in common with scikit-learn's, whatever kind of numbers and labels it is given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right

ROWS = ("features", "auxiliary", "captions", "texts", "text_weights")  # arguments that hold vectors


class Head:
    """Base of the heads: `fit` and `predict_logits` of a subclass take tensors, arrays and lists, labels as numbers or names.

    Given arrays or lists, `predict_logits` and `predict` give back arrays. Labels that are names are numbered in the order
    of `fit(..., classes=[...])`, needed where text weights fix that order, else alphabetically; `predict` gives names back.
    On a processor half precision is computed in float32, which is 5 to 10 times faster there.

    >>> from clipkit.adapt import GDA
    >>> head = GDA().fit([[1.0, 0.1], [0.9, -0.1], [0.1, 1.0], [-0.1, 0.9]], ["dog", "dog", "cat", "cat"])
    >>> head.predict([[1.0, 0.0], [0.0, 1.0]]).tolist(), head.score([[1.0, 0.0]], ["dog"])
    (['dog', 'cat'], 100.0)
    """

    classes_: list | None = None  # names, where the labels were names

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "fit" in cls.__dict__:
            cls.fit = _takes_names(cls.fit)
        if "predict_logits" in cls.__dict__:
            cls.predict_logits = _gives_back_kind(cls.predict_logits)

    def predict(self, *features):
        """The likeliest class of each row: names if `fit` had names, else numbers (N,) int64.

        Arguments: as `predict_logits` takes them.
        """
        best = torch.as_tensor(self.predict_logits(*features)).argmax(1)
        if self.classes_ is not None:
            return np.asarray(self.classes_)[best.cpu().numpy()]
        return best if isinstance(features[0], Tensor) else best.numpy()

    def score(self, *features_and_labels) -> float:
        """Percent right. Arguments: as `predict_logits` takes them, then the labels (N,), in the kind that `fit` had."""
        *features, labels = features_and_labels
        if self.classes_ is not None:
            labels = _numbered(labels, self.classes_)
        return percent_right(torch.as_tensor(self.predict_logits(*features)).cpu(), checks.labels(labels, len(features[0])).cpu())


def _takes_names(fit: Callable) -> Callable:
    signature = inspect.signature(fit)

    @functools.wraps(fit)
    def wrapped(self, *args, classes: Sequence | None = None, **kwargs):
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}.fit: {error}") from None
        for name in ROWS:
            if given.get(name) is not None:
                given[name] = _full(given[name], name.replace("_", " "))
        if (labels := given.get("labels")) is not None and _are_names(labels):
            if classes is None:
                if given.get("text_weights") is not None:
                    raise ClipkitError("the labels are names: give classes=[...], the names in the order of the text weights")
                classes = sorted(set(labels))
            given["labels"] = _numbered(labels, classes)
        found = fit(**given)
        self.classes_ = None if classes is None else list(classes)
        return found

    return wrapped


def _gives_back_kind(predict_logits: Callable) -> Callable:
    @functools.wraps(predict_logits)
    def wrapped(self, features, *more, **options):
        rows = [_full(x, "features") for x in (features, *more)]
        logits = predict_logits(self, *rows, **options)
        return logits if isinstance(features, Tensor) else logits.detach().cpu().numpy()

    return wrapped


def _full(x, what: str) -> Tensor:
    """A tensor; on a processor half precision becomes float32, and so does an array of float64, torch's default."""
    own = isinstance(x, Tensor)
    x = checks.tensor(x, what)
    if (x.device.type == "cpu" and x.dtype in (torch.float16, torch.bfloat16)) or (not own and x.dtype == torch.float64):
        return x.float()
    return x


def _are_names(labels) -> bool:
    return not isinstance(labels, Tensor) and np.asarray(labels).dtype.kind in "OUS"


def _numbered(labels, classes: Sequence) -> Tensor:
    place = {name: i for i, name in enumerate(classes)}
    if odd := sorted({str(name) for name in labels if name not in place}):
        raise ClipkitError(f"label {odd[0]!r} is none of the {len(place)} classes ({', '.join(map(str, list(place)[:5]))} …)")
    return torch.tensor([place[name] for name in labels], dtype=torch.int64)
