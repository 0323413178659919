"""The pool of prompts as data."""

import pytest

from clipkit.errors import ClipkitError
from clipkit.zeroshot.pool import PromptPool


def test_the_shipped_pool():
    pool = PromptPool.shipped()
    assert 150 <= len(pool) <= 300 and len(set(pool.templates)) == len(pool)
    assert all("{}" in template for template in pool.templates)
    assert {"world", "openai", "company", "nonsense"} <= set(pool.groups)
    assert ("background", "snow") in pool.concepts and pool.concepts[0] is None
    few = pool.thinned(3)
    assert few.templates == pool.templates[::3] and few.concepts == pool.concepts[::3]


@pytest.mark.parametrize(
    "content,message",
    [
        ("groups: []", "no groups"),
        ("", "no groups"),
        ("groups: [{name: a, templates: [a photo]}]", "lacks"),
        ('groups: [{name: a, concept: colour, templates: ["a {}"]}]', "lacks"),
        ('groups: [{name: a, templates: [{"a {}": red}]}]', "lacks"),
        ("groups: [{name: a, import: nowhere}]", "nowhere"),
    ],
)
def test_bad_pools(tmp_path, content, message):
    path = tmp_path / "pool.yml"
    path.write_text(content)
    with pytest.raises(ClipkitError, match=message):
        PromptPool.from_yaml(path)
    with pytest.raises(ClipkitError, match="no pool of prompts"):
        PromptPool.from_yaml(tmp_path / "other.yml")
    with pytest.raises(ClipkitError, match="step"):
        PromptPool.shipped().thinned(0)


def test_a_template_twice_counts_once(tmp_path):
    path = tmp_path / "pool.yml"
    path.write_text(
        'groups: [{name: a, templates: ["{}", "a {}"]}, {name: b, concept: colour, templates: [{"a {}": red}, {"red {}": red}]}]'
    )
    pool = PromptPool.from_yaml(path)
    assert pool == PromptPool(("{}", "a {}", "red {}"), ("a", "a", "b"), (None, None, ("colour", "red")))
