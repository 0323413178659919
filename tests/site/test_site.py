"""The site built from the fixture: complete, clean, and in need of no network."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from builder import pdf
from builder.settings import load_site
from clipkit.errors import ClipkitError
from clipkit.registry.papers import load_registry

pytest.importorskip("jupyter_book", reason="needs the extra `book`")


class Links(HTMLParser):
    """Everything a page points to, its ids, and its pictures."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loads, self.ids, self.pictures = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if found.get("id"):
            self.ids.add(found["id"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe", "source") and found.get("src"):
            self.loads.append(found["src"])
        if tag == "link" and found.get("href") and found.get("rel") != "canonical":
            self.loads.append(found["href"])
        if tag == "img":
            self.pictures.append(found)


@pytest.fixture(scope="module")
def html(site) -> dict[str, Links]:
    root = site.index.parent
    return {path.relative_to(root).as_posix(): Links(path) for path in sorted(root.rglob("*.html")) if "_static" not in path.parts}


def test_builds_without_a_warning(site):
    assert site.warnings == []
    assert site.pages == {"tiny_paper"}


def test_nothing_is_loaded_from_elsewhere(html):
    outside = {(page, url) for page, links in html.items() for url in links.loads if re.match(r"(https?:)?//", url)}
    assert not outside


def test_no_internal_link_or_load_is_dead(site, html):
    root, dead = site.index.parent.resolve(), []
    for page, links in html.items():
        for url in (*links.links, *links.loads):
            if re.match(r"[a-z]+:|//", url) or url == "#":
                continue
            target, anchor = urldefrag(unquote(url.split("?")[0]))
            path = ((root / page).parent / target).resolve() if target else root / page
            known = html[path.relative_to(root).as_posix()].ids if anchor and path.suffix == ".html" else {anchor}
            if not path.is_file() or anchor not in known:
                dead.append((page, url))
    assert not dead


def test_every_picture_has_alternative_text(html):
    assert not [(page, picture) for page, links in html.items() for picture in links.pictures if not picture.get("alt")]
    assert any("Bars: one draw" in picture["alt"] for picture in html["few_shot/tiny_paper.html"].pictures)


def test_header_card_comes_from_the_registry(site):
    text = (site.index.parent / "few_shot" / "tiny_paper.html").read_text(encoding="utf-8")
    head = text[text.index('class="ck-card"') : text.index('id="the-idea"')]
    for part in ("Ada Example, Bert Sample and others", "TEST 2024", "arXiv:2401.00001", "preset quick"):
        assert part in head
    said = " ".join(re.sub(r"<[^>]+>", " ", head).split())
    assert "✓ holds, world C1" in said and "⇄ reversed, world C2" in said
    assert "ck-card" not in (site.index.parent / "notebooks" / "tiny_paper.ipynb").read_text(encoding="utf-8")


def test_links_into_the_repository_are_there_if_it_is_and_the_install_cell_is_not_shown(site):
    text = (site.index.parent / "few_shot" / "tiny_paper.html").read_text(encoding="utf-8")
    links = load_site().links(load_registry().entry("tiny_paper"))
    assert all(f'href="{url}"' in text for url in links.values())
    assert [name in text for name in ("colab.research", "mybinder.org", "btn-source-repository")] == [
        name in links for name in ("Colab", "Binder", "source")
    ]
    assert "find_spec" not in text
    assert "find_spec" in (site.index.parent / "notebooks" / "tiny_paper.ipynb").read_text(encoding="utf-8")


def test_solutions_are_folded_and_hold_code(site):
    text = (site.index.parent / "few_shot" / "tiny_paper.html").read_text(encoding="utf-8")
    assert text.count('class="solution dropdown admonition"') == 3
    assert "standard_t" in text[text.index('class="solution dropdown') :]


def test_planned_papers_are_named_and_not_linked(html, site):
    assert "A Paper Without a Page" in site.index.read_text(encoding="utf-8")
    assert not [url for links in html.values() for url in links.links if "planned_paper" in url]


def test_ledger_has_every_claim_with_its_scale(site):
    text = (site.index.parent / "ledger.html").read_text(encoding="utf-8")
    assert text.count("<tr id=") == 4 and "official repository" in text and "unverified" in text
    assert (site.index.parent / "ledger.csv").read_text(encoding="utf-8").count("\n") == 5


def test_pages_are_light(site):
    root = site.index.parent
    heaviest = max((path.stat().st_size, path.name) for path in root.rglob("*") if path.suffix in (".html", ".png"))
    assert heaviest[0] < 600_000, heaviest


def test_mathematics_renders_in_a_browser_without_network(site, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", f"--user-data-dir={tmp_path}"]
    page = (site.index.parent / "few_shot" / "tiny_paper.html").as_uri()
    rest = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000", "--dump-dom", page]
    done = subprocess.run([browser, *options, *rest], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("<mjx-container") >= 3
    assert "<mjx-merror" not in done.stdout


def test_a_page_is_printed_as_pdf(site, tmp_path):
    pytest.importorskip("playwright.sync_api", reason="needs the extra `test`")
    try:
        chromium = pdf.browser()
    except ClipkitError:
        pytest.skip("no chromium on this machine: nothing is printed (Debian: apt install chromium)")
    pdf.print_page(site.index.parent / "few_shot" / "tiny_paper.html", tmp_path / "page.pdf", chromium)
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF") and len(content) > 20_000


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(ClipkitError, match="apt install chromium"):
        pdf.browser()
