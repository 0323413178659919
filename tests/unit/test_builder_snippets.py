"""The three lines at the head of each page run as they stand."""

import ast

import pytest
import torch
import torch.nn.functional as F

from builder.cards import snippets
from clipkit import load_dataset, load_model
from clipkit.features.extraction import extract
from clipkit.registry.papers import load_registry
from clipkit.zeroshot import zeroshot_weights

FOUND = snippets()


@pytest.fixture(scope="module")
def own():
    clip = load_model("nano")
    data = load_dataset("world", n=48, seed=1, categories=("cat", "boat", "tree"), narrow=True, max_objects=1)
    features = extract(clip, data, cache=False).image
    return {
        "torch": torch,
        "clip": clip,
        "images": [data.images[i] for i in range(6)],
        "captions": [row[0] for row in data.captions][:32],
        "names": list(data.classnames),
        "features": features[:32],
        "labels": torch.as_tensor(data.labels)[:32],
        "new": features[32:],
        "other": F.normalize(features[:32, :40], dim=1),
        "other_new": F.normalize(features[32:, :40], dim=1),
        "text": zeroshot_weights(clip, data.classnames, data.templates),
    }


def test_every_finished_page_has_one_and_no_other():
    assert set(FOUND) == {entry.slug for entry in load_registry().finished()}


@pytest.mark.parametrize("slug", FOUND)
def test_it_runs(slug, own):
    *lines, last = ast.parse(FOUND[slug]).body
    assert 3 <= len([*lines, last]) <= 4 and all(len(line) <= 130 for line in FOUND[slug].splitlines())
    names = dict(own)
    exec(compile(ast.Module(lines, []), slug, "exec"), names)
    if isinstance(last, ast.Expr):
        result = eval(compile(ast.Expression(last.value), slug, "eval"), names)
    else:
        exec(compile(ast.Module([last], []), slug, "exec"), names)
        result = names[ast.unparse(last.targets[0]).split(",")[0].strip("( ")]
    assert result is not None
    if isinstance(result, torch.Tensor) and result.is_floating_point():
        assert torch.isfinite(result).all()
    if "guesses" in names:
        assert len(names["guesses"]) == len(own["new"]) and set(torch.as_tensor(names["guesses"]).tolist()) <= {0, 1, 2}
