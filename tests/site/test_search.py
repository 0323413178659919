"""Forty queries as readers type them, and the page that should come first: by paper, technique, author, topic, and for planned papers."""

from __future__ import annotations

import pytest

from builder.topics import topics
from clipkit.registry.papers import load_registry

WANTED = {
    # names and numbers of papers
    "GDA": "gda_adapter",
    "2402.04087": "gda_adapter",
    "MetaCLIP": "metaclip",
    "BARTScore": "bartscore",
    "VQAScore": "vqascore",
    "amu tuning": "amu_tuning",
    "LaCLIP": "laclip",
    "fc-clip": "fc_clip",
    # techniques and topics
    "Tip-Adapter": "gda_adapter",
    "OOD": "clipn",
    "segmentation": "trident",
    "Hopfield": "cloob",
    "prompt ensembling": "zero_shot_prompt_ensembling",
    "calibration": "zero_shot_classification",
    "modality gap": "contrastive_pretraining",
    "long tail": "neglected_tails",
    "data curation": "metaclip",
    "captioning reward": "clip_reward_captioning",
    "pseudolabels": "pseudolabel_prompts",
    "class descriptions": "llm_descriptions",
    "group robustness": "perceptionclip",
    "label-free": "nola",
    "bootstrap": "judging_claims",
    "few-shot comparison": "few_shot_shootout",
    "synthetic scenes": "the_world",
    # authors
    "Weizhe Yuan": "bartscore",
    "Fürst": "cloob",
    # planned papers, by topic
    "counting": "counting_clip",
    "crowd counting": "clip_ebc",
    "remote sensing": "rs_m_clip",
    "radiology": "pubmedclip",
    "fMRI": "brainclip",
    "anomaly detection": "anomalyclip",
    "image editing": "augclip",
    # the book's own pages
    "install": "start",
    "ViT-B-32": "howto/own_model",
    "my own photographs": "howto/own_images",
    "verdict": "how_to_read",
    "student notebooks": "teaching",
    "SLURM": "howto/your_own_cluster",
}
FIRST = """queries => queries.map(query => {
    const found = Search._performSearch(...Search._parseQuery(query)).at(-1);
    return found ? found[0] + found[2] : "";
})"""


def test_the_right_page_comes_first(visit):
    page = visit("search.html")
    queries = list(WANTED)
    assert len(queries) == 40
    first = page.evaluate(FIRST, queries)
    missed = {query: found for query, found in zip(queries, first, strict=True) if not found.endswith(WANTED[query])}
    assert len(missed) <= 4, missed


def test_a_planned_paper_is_found_where_it_is_named(visit, book):
    page = visit("search.html?q=remote+sensing")
    page.wait_for_selector("#search-results li a")
    link = page.locator("#search-results li a").first
    assert link.get_attribute("href") == "parts/pretraining.html#rs_m_clip"
    assert "planned:" in page.locator("#search-results li").first.inner_text()
    assert 'id="rs_m_clip"' in (book / "parts" / "pretraining.html").read_text(encoding="utf-8")


def test_what_is_not_a_topic_is_found_as_before(visit):
    page = visit("search.html")
    found = page.evaluate("Search._performSearch(...Search._parseQuery('papermill')).map(result => result[0])")
    assert "start" in found and len(found) > 3


def test_every_page_of_the_registry_can_be_found():
    registry = load_registry()
    known = topics(registry, {"gda_adapter"}, {"start": "# Start here\n"})
    assert {topic["title"] for topic in known} == {entry.title for entry in registry.entries} | {"Start here"}
    at = {tuple(topic["at"]) for topic in known}
    assert ("few_shot/gda_adapter", "") in at and ("parts/scores", "#ranking_adapter") in at
    with pytest.raises(TypeError):
        topics(registry, set(), {"broken": "no title"})
