"""Shapes that docstrings state are held against the calls of the tests: the check of the check."""

import importlib

import pytest
import torch

from clipkit.paths import PACKAGE
from tests import docshapes


def scores(features, weights, labels=None, other=None):
    """features (N, D), weights: float32 (C, D). labels (N,) or (N, C). other (2B, …). Returns (N, C)."""
    return features @ weights.T if labels is None else labels


def test_what_a_docstring_states():
    assert docshapes.stated(scores) == {"features": ("N", "D"), "weights": ("C", "D"), "other": ("2B", "…"), "return": ("N", "C")}


def test_what_is_taken_is_not_what_is_returned():
    said = {"(N, E) to (N, C).": {}, "(N, E) logits of (N, D) features.": {"return": ("N", "E")}}
    for text, shapes in said.items():
        named = lambda x: x  # noqa: E731
        named.__doc__ = text
        assert docshapes.stated(named) == shapes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((torch.ones(2, 3), torch.ones(4, 3)), None),
        ((torch.ones(2, 3), torch.ones(1, 2, 3), torch.ones(2, 4)), "weights .*3 dimensions"),
        ((torch.ones(2, 3), torch.ones(4, 5), torch.ones(2, 4)), "weights .*D is 3 and 5"),
        ((torch.ones(2, 3), torch.ones(4, 3), torch.ones(7, 4)), "return .*N is 2 and 7"),
        ((torch.ones(2, 3), torch.ones(4, 3), None, torch.ones(1)), None),
    ],
)
def test_a_call_is_held_to_it(given, said):
    held = docshapes.held(scores, docshapes.stated(scores))
    if said is None:
        assert held(*given).shape == scores(*given).shape
    else:
        with pytest.raises(AssertionError, match=said):
            held(*given)


def test_a_wrong_input_meets_the_function_s_own_message():
    with pytest.raises(RuntimeError, match="size mismatch|cannot be multiplied"):
        docshapes.held(scores, docshapes.stated(scores))(torch.ones(2, 3), torch.ones(4, 5))


def test_the_rooms_are_held():
    """Every module of the techniques is loaded through the hook; of their functions a fair part states shapes."""
    held = 0
    for path in (path for room in docshapes.ROOMS for path in sorted((PACKAGE / room).glob("[a-z]*.py"))):
        module = importlib.import_module(f"clipkit.{path.parent.name}.{path.stem}")
        held += sum(docshapes.is_held(one) for owner in docshapes.owners(module) for one in vars(owner).values())
    assert held >= 150
