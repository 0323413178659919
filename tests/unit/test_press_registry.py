"""The registry: clear errors, and everything generated from it."""

from __future__ import annotations

import copy
import doctest
import subprocess
from pathlib import Path

import pytest
import yaml

from builder import bibliography, cards, readme, toc
from builder.assemble import config
from builder.markup import venue
from builder.settings import load_site
from clipkit.errors import ClipkitError
from clipkit.paths import ROOT, data_dir
from clipkit.registry.papers import load_registry

FIXTURES = Path(__file__).parents[1] / "site" / "fixtures"
TINY = FIXTURES / "data" / "papers.yml"


@pytest.fixture
def content() -> dict:
    return yaml.safe_load(TINY.read_text(encoding="utf-8"))


def write(folder: Path, content: dict) -> Path:
    path = folder / "papers.yml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_reads_the_fixture():
    registry = load_registry(TINY)
    assert [entry.slug for entry in registry.papers()] == ["tiny_paper", "planned_paper"]
    assert [part.id for part in registry.parts()] == ["foundations", "few_shot", "video"]
    claim = registry.entry("tiny_paper").claim("C1")
    assert claim.test.baselines == ("one_draw", "zero") and claim.untestable is None
    with pytest.raises(ClipkitError, match="did you mean 'tiny_paper'"):
        registry.entry("tiny_papr")
    with pytest.raises(ClipkitError, match="unknown claim of tiny_paper 'C9'"):
        registry.entry("tiny_paper").claim("C9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["papers"].append(copy.deepcopy(c["papers"][0])), "slug 'tiny_paper' is used by 2 entries"),
        (lambda c: c["papers"][0]["claims"][1].update(id="C1"), "'tiny_paper'.*id 'C1' is used 2 times"),
        (lambda c: c["papers"][0].pop("idea"), "'tiny_paper', field idea: it is missing"),
        (lambda c: c["papers"][0].update(idea="x" * 161), "'tiny_paper', field idea"),
        (lambda c: c["papers"][0].update(part="nowhere"), "'tiny_paper', field part"),
        (lambda c: c["papers"][0].update(arxiv=2401.00001), "'tiny_paper', field arxiv"),
        (lambda c: c["papers"][0].update(colour="red"), "'tiny_paper', field colour: there is no such field"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(margin=0), r"field claims\[0\].test.margin"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(kind="worse"), r"field claims\[0\].test.kind"),
        (lambda c: c["papers"][0]["claims"][0]["paper"].update(source="a friend"), r"field claims\[0\].paper.source"),
        (
            lambda c: c["papers"][0]["claims"][0].update(untestable="no"),
            r"field claims\[0\]: a claim has one of `test`, `parts` and `untestable`",
        ),
        (lambda c: c["papers"][0]["claims"][0].pop("test"), r"field claims\[0\]"),
        (lambda c: c["papers"][0]["claims"][0].pop("origin"), r"field claims\[0\].origin: it is missing"),
        (lambda c: c["papers"][0]["claims"][0].update(origin="paper"), "'tiny_paper'.*exactly one claim.*here none"),
        (lambda c: c["papers"][0]["claims"][1].update(origin="headline"), "'tiny_paper'.*exactly one claim.*here C1, C2"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(baseline="mean"), r"field claims\[0\].test.baseline: there is no such field"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(baselines=[]), r"field claims\[0\].test: kind `better` compares with"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(null=0), "either `baselines` or `null`, not both"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(kind="above", baselines=[]), "against a stated `null`"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(gates={"floor": 1}), r"claims\[0\].test.gates.floor: there is no such"),
        (lambda c: c["papers"][0]["claims"][0]["test"].update(gates={"stand_ins": [{"arm": "x"}]}), r"stand_ins\[0\].beats: it is missing"),
        (lambda c: c["papers"][0]["claims"][0].update(seeds_vary="weather"), r"field claims\[0\].seeds_vary"),
        (
            lambda c: c["papers"][0]["claims"][0].update(changes=[{"date": "soon", "what": "w", "why": "y", "seen": "s"}]),
            r"changes\[0\].date",
        ),
        (lambda c: c["papers"][0]["claims"][0].update(parts=[c["papers"][0]["claims"][0].pop("test")]), "of one part has a `test`"),
        (lambda c: c.pop("papers"), "needs a list under the key `papers`"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, content, change, message):
    change(content)
    with pytest.raises(ClipkitError, match=message):
        load_registry(write(tmp_path, content))


def test_yaml_reads_the_bare_key_null_as_nothing_and_the_registry_as_the_word(tmp_path):
    text = TINY.read_text(encoding="utf-8").replace("baselines: [mean], kind: better", "null: 0.5, kind: above")
    (tmp_path / "papers.yml").write_text(text, encoding="utf-8")
    assert load_registry(tmp_path / "papers.yml").entry("tiny_paper").claim("C2").test.null == 0.5


def test_notes_and_words_are_not_what_is_fixed(content, tmp_path):
    before = load_registry(write(tmp_path, content)).entry("tiny_paper").claim("C1").fixed()
    content["papers"][0]["claims"][0]["test"].update(note="said beside it", scale="photographs")
    assert load_registry(write(tmp_path, content)).entry("tiny_paper").claim("C1").fixed() == before
    content["papers"][0]["claims"][0]["test"]["gates"] = {"ceiling": 100}
    assert load_registry(write(tmp_path, content)).entry("tiny_paper").claim("C1").fixed() != before


def test_broken_yaml_and_missing_file(tmp_path):
    (tmp_path / "papers.yml").write_text("papers: [", encoding="utf-8")
    with pytest.raises(ClipkitError, match="not valid YAML"):
        load_registry(tmp_path / "papers.yml")
    with pytest.raises(ClipkitError, match="no registry"):
        load_registry(tmp_path / "absent.yml")


def test_a_study_of_our_own_stands_behind_the_papers_of_its_part(tmp_path, content):
    content["foundations"][0]["part"] = "few_shot"
    registry = load_registry(write(tmp_path, content))
    assert [entry.slug for entry in registry.of_part("few_shot")] == ["tiny_paper", "tiny_world"]
    assert [entry.slug for entry in registry.foundations()] == ["tiny_world"] and not registry.entry("tiny_world").is_paper
    assert registry.entry("tiny_world").notebook_path.parts[-2:] == ("few_shot", "tiny_world.ipynb")
    assert "A tiny world | 1 |" in readme.table(registry)
    content["foundations"][0]["part"] = "nowhere"
    with pytest.raises(ClipkitError, match="'tiny_world', field part"):
        load_registry(write(tmp_path, content))


def test_a_changed_file_is_read_again(tmp_path, content):
    path = write(tmp_path, content)
    assert len(load_registry(path).papers()) == 2
    content["papers"].pop()
    write(tmp_path, content)
    assert len(load_registry(path).papers()) == 1


def test_bibliography_is_read_back_by_pybtex():
    pybtex = pytest.importorskip("pybtex.database")
    text = bibliography.bibtex(load_registry(TINY))
    assert text == bibliography.bibtex(load_registry(TINY))
    parsed = pybtex.parse_string(text, "bibtex")
    entry = parsed.entries["tiny_paper"]
    assert entry.type == "inproceedings" and entry.fields["eprint"] == "2401.00001" and entry.fields["year"] == "2024"
    assert [str(person) for person in entry.persons["author"]] == ["Example, Ada", "Sample, Bert", "others"]
    assert r"100\%" in entry.fields["title"]
    assert parsed.entries["planned_paper"].type == "misc"
    assert "tiny_world" not in parsed.entries


def test_toc_lists_only_what_is_built():
    made = toc.toc(load_registry(TINY), {"tiny_paper"})
    chapters = made["parts"][1]["chapters"]
    assert [chapter["file"] for chapter in chapters] == ["parts/foundations", "parts/few_shot", "parts/video"]
    assert chapters[1]["sections"] == [{"file": "few_shot/tiny_paper"}]
    assert "sections" not in chapters[2]


def test_readme_table():
    text = f"before\n{readme.START}\nold\n{readme.END}\nafter\n"
    once = readme.with_table(text, load_registry(TINY))
    assert once == readme.with_table(once, load_registry(TINY))
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "old" not in once
    assert "planned_paper (planned)" in once and "(notebooks/video/planned_paper.ipynb)" not in once
    with pytest.raises(ClipkitError, match="needs the lines"):
        readme.with_table("no markers", load_registry(TINY))


FORK = {
    "source": "https://github.com/me/fork/blob/dev/notebooks/few_shot/tiny_paper.ipynb",
    "Colab": "https://colab.research.google.com/github/me/fork/blob/dev/notebooks/few_shot/tiny_paper.ipynb",
    "Binder": "https://mybinder.org/v2/gh/me/fork/dev?labpath=notebooks%2Ffew_shot%2Ftiny_paper.ipynb",
}


def site_of(folder: Path, text: str, remote: str | None = None):
    """The settings `text` in a fresh repository with the remote `origin`."""
    folder.mkdir()
    subprocess.run(["git", "init", "-q", folder], check=True)
    if remote:
        subprocess.run(["git", "-C", folder, "remote", "add", "origin", remote], check=True)
    (folder / "site.yml").write_text(text, encoding="utf-8")
    return load_site(folder / "site.yml")


def test_links_come_from_one_setting_or_the_remote_and_vanish_without(tmp_path):
    entry = load_registry(TINY).entry("tiny_paper")
    named = site_of(
        tmp_path / "a", "{title: T, author: A, repository: 'https://github.com/me/fork', branch: dev}", "git@github.com:x/y.git"
    )
    remote = site_of(tmp_path / "b", "{title: T, author: A, branch: dev}", "git@github.com:me/fork.git")
    assert named.links(entry) == remote.links(entry) == FORK
    secret = site_of(tmp_path / "c", "{title: T, author: A}", "https://me:password@gitlab.com/me/fork.git")
    assert secret.links(entry) == {"source": "https://gitlab.com/me/fork/blob/main/notebooks/few_shot/tiny_paper.ipynb"}
    for number, nowhere in enumerate((None, "/srv/book.git", "http://localhost:3000/me/book.git")):
        site = site_of(tmp_path / str(number), "{title: T, author: A}", nowhere)
        assert site.links(entry) == {} and site.repository is None
        card = cards.header_card(entry, [], site, None)
        assert "download" in card and not any(word in card for word in ("Colab", "Binder", "source"))
    assert all(f'href="{url.replace("&", "&amp;")}"' in cards.header_card(entry, [], named, None) for url in FORK.values())


def test_settings_of_the_site_are_checked(tmp_path):
    with pytest.raises(ClipkitError, match="needs title and author"):
        site_of(tmp_path / "a", "{title: T}")
    with pytest.raises(ClipkitError, match="is no address on the web"):
        site_of(tmp_path / "b", "{title: T, author: A, repository: here}")


def test_the_button_to_the_repository_is_there_only_with_one(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "_config.yml").write_text((ROOT / "book" / "_config.yml").read_text(encoding="utf-8"), encoding="utf-8")
    for text, there in (("{title: T, author: A, repository: 'https://github.com/me/fork'}", True), ("{title: T, author: A}", False)):
        (tmp_path / "site.yml").write_text(text, encoding="utf-8")
        load_site.cache_clear()
        made = yaml.safe_load(config(tmp_path))
        assert made["html"]["use_repository_button"] is there and ("repository" in made) is there


def test_doctests():
    from builder import settings

    assert doctest.testmod(settings).failed == 0


@pytest.mark.skipif(not (data_dir() / "papers.yml").is_file(), reason="needs the registry")
def test_the_books_own_registry_and_what_is_generated_from_it():
    registry = load_registry()
    assert len(registry.papers()) == 62
    assert all(claim.seeds_vary for entry in registry.finished() for claim in entry.claims if claim.tests), "say what the seeds vary"
    committed = ROOT / "book" / "references.bib"
    assert committed.read_text(encoding="utf-8") == bibliography.bibtex(registry), "run: make readme"
    page = ROOT / "README.md"
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        assert text == readme.with_table(text, registry), "run: make readme"


def test_pages_named_in_the_books_own_text_are_in_the_registry():
    from builder.pages import MARKER
    from builder.settings import BOOK

    named = {found[2] for path in BOOK.rglob("*.md") for found in MARKER.finditer(path.read_text(encoding="utf-8")) if found[1] == "page"}
    assert named and named <= {entry.slug for entry in load_registry().entries}


def test_a_venue_is_followed_by_a_year_only_when_it_names_none():
    entry = load_registry(TINY).entry("tiny_paper")
    said = [venue(entry.model_copy(update={"venue": where, "year": 2023})) for where in ("ICLR 2024", "Neural Networks", None)]
    assert said == ["ICLR 2024", "Neural Networks 2023", "preprint 2023"]
