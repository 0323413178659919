"""The site in a real browser, from its folder and without a network: what a reader does, on a desk and on a phone.

Needs a chromium of the system (Debian: `apt install chromium`); skipped with a notice where there is none.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from builder.optimise_site import transferred
from tests.site.conftest import DESK, PHONE, guides_of, notebooks_of, pages_of

# Contrast of text and ground as WCAG 2 defines it.
CONTRAST = """() => {
    const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const luminance = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(channel);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const text = getComputedStyle(document.querySelector(".bd-article p")).color;
    const ground = getComputedStyle(document.body).backgroundColor;
    const [light, dark] = [luminance(text), luminance(ground)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
}"""
# Texts below a selector whose contrast with the nearest painted ground is under 4.5, or that stand out of the window.
READABLE = """selector => {
    const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const rgba = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = element => {
        for (; element; element = element.parentElement) {
            const found = rgba(getComputedStyle(element).backgroundColor);
            if (found.length === 3 || found[3] > 0) return found;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll(`${selector} *`)].filter(element => {
        if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) return false;
        const [light, dark] = [luminance(rgba(getComputedStyle(element).color)), luminance(ground(element))].sort((x, y) => y - x);
        const box = element.getBoundingClientRect();
        return (light + 0.05) / (dark + 0.05) < 4.5 || box.right > innerWidth + 1 || box.left < -1;
    }).map(element => element.outerHTML.slice(0, 120));
}"""
WIDE = "[...document.querySelectorAll(selector)].filter(e => e.scrollWidth > e.clientWidth + 1)"
CUT = f"selector => {WIDE}.map(e => e.textContent.slice(0, 99))"
STYLE_OF_CUT = f"selector => {WIDE}.map(e => getComputedStyle(e)).map(s => ({{overflow: s.overflowX, image: s.backgroundImage}}))"
SERIOUS = """async () => (await axe.run(document, {resultTypes: ["violations"], preload: false})).violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 120))])"""
# What another page has here, or a reader opens: a link on every tinted ground, all folds.
LINKS_AND_FOLDS = """() => {
    document.querySelectorAll(".bd-article :is(.admonition, .ck-card, .ck-claim) p").forEach(text => {
        if (!text.closest("summary")) text.insertAdjacentHTML("beforeend", ' <a href="#top">a link</a>');
    });
    document.querySelectorAll("details").forEach(fold => fold.open = true);
}"""
# Formulas and roles that were not understood stand as they were written.
RAW = """[...document.querySelectorAll("article.bd-article :is(p, li, td, th, dd, dt, h1, h2, h3)")]
    .filter(one => !one.closest("mjx-container, .math, pre, script"))
    .map(one => [...one.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join(""))
    .filter(text => UNREAD.some(kind => kind.test(text))).map(text => text.slice(0, 99))""".replace(
    "UNREAD", r"[/\\[a-zA-Z]{2,}/, /\{(glue|cite|term|doc|ref)/, /\bnan\b/, /(^|[\s(])-\d/, /\*\*/, /(^|\s)\$[A-Za-z]/]"
)
BROKEN = "[...document.images].filter(i => i.complete && !i.naturalWidth && i.loading !== 'lazy').map(i => i.src)"
MUTE = "[...document.querySelectorAll('article.bd-article img, .ck-tile img')].filter(i => !i.alt).map(i => i.src)"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_fit_and_render(visit, book, size):
    for name in pages_of(book):
        page = visit(name, size)
        assert page.locator("article h1").first.is_visible(), name
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 1, f"{name} is {wide} pixels wider than the window"
        assert page.evaluate(BROKEN) == [] and page.evaluate(MUTE) == []
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container")
            assert page.locator("mjx-merror").count() == 0


def test_pages_are_light_and_their_icons_are_there(visit, book):
    """A million bytes as a server sends them (text compressed): icons in use alone, mathematics and the search's index where needed."""
    for name in dict.fromkeys([*pages_of(book), *notebooks_of(book), "search.html"]):
        page = visit(name)
        page.wait_for_selector("svg.svg-inline--fa", state="attached")
        assert page.evaluate("document.querySelectorAll('svg.svg-inline--fa:not(:has(path[d]))').length") == 0
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.reload(wait_until="load")
        files = {Path(unquote(urlsplit(address).path)) for address in asked if address.startswith("file:")}
        assert len(files) > 10  # styles, scripts, fonts
        assert transferred([path for path in files if path.is_file()]) < 1_000_000, name
        names = {path.name for path in files}
        assert ("tex-mml-chtml.js" in names) == (page.locator(".math").count() > 0), name
        assert ("searchindex.js" in names) == (name == "search.html")
    assert (book / "_static" / "scripts" / "fontawesome.js").stat().st_size < 200_000


@pytest.mark.parametrize("width", [1280, 1400])
def test_code_of_88_columns_and_equations_fit_on_a_desk(visit, book, width):
    assert (width < 1400) == (
        not visit(notebooks_of(book)[0], {"width": width, "height": 900}).locator(".bd-sidebar-secondary").is_visible()
    )
    for name in notebooks_of(book):
        page = visit(name, {"width": width, "height": 900})
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
        page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
        assert page.evaluate(CUT, "div.highlight pre, mjx-container[display=true], .ck-table") == [], name
        assert page.evaluate(RAW) == [], name
        assert page.locator(".cell_input pre").count() > 10


def test_on_a_phone_what_is_cut_scrolls_and_shows_it_and_on_paper_it_is_whole(visit, book):
    cut = 0
    for name in notebooks_of(book)[:3]:
        page = visit(name, PHONE)
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
        for selector in (".cell_input pre", "mjx-container[display=true]"):
            for style in page.evaluate(STYLE_OF_CUT, selector):
                cut += 1
                assert style["overflow"] == "auto" and "linear-gradient" in style["image"]
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 673, "height": 980})  # A4 less its margins
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(CUT, "mjx-container[display=true]") == [], name
    assert cut > 5


def test_code_that_serves_the_page_is_folded_or_gone(visit, book):
    for name in notebooks_of(book)[:3]:
        page = visit(name)
        shown = page.locator(".cell_input pre:visible").all_inner_texts()
        assert shown and not [text for text in shown if "lab.start(" in text]
        assert page.locator("details.hide.above-input").count() >= 3  # set-up and figures
        assert page.locator("details:has(pre)").first.evaluate("fold => !fold.open")
        text = page.evaluate("document.body.textContent")
        assert "NBVAL" not in text and "# noqa" not in text
        assert len(re.findall(r"Exercise [123] \(about \d+ minutes", page.locator("article.bd-article").inner_text())) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, book, scheme):
    axe = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    guides = [name for name in guides_of(book) if name not in ("api.html", "references.html")]  # long lists of one thing
    sized = [(name, DESK) for name in (*guides, *notebooks_of(book))]
    for name, size in [*sized, ("index.html", PHONE), ("ledger.html", PHONE), (notebooks_of(book)[0], PHONE)]:
        page = visit(name, size, color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
        page.evaluate(LINKS_AND_FOLDS)
        page.evaluate(axe)
        assert page.evaluate(SERIOUS) == [], (name, size)


def test_slides_turn_and_need_no_network(visit, book):
    page = visit(f"slides/{Path(notebooks_of(book)[-1]).stem}.html")
    page.wait_for_selector("section:has(mjx-container)")
    assert page.locator("section").count() >= 8
    page.keyboard.press("ArrowRight")
    page.wait_for_function("Math.abs(document.querySelectorAll('section')[1].getBoundingClientRect().top) < 2")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1 and page.evaluate(BROKEN) == []


def test_gallery_filter(visit):
    page = visit("index.html")
    tiles = page.locator(".ck-tile")
    everything = tiles.count()
    page.select_option("[data-ck-filter=gallery] select[name=state]", "planned")
    planned = page.locator(".ck-tile:visible").count()
    assert 0 < planned < everything
    assert page.locator(".ck-tile:visible a").count() == 0  # nothing to click that is not there
    page.select_option("[data-ck-filter=gallery] select[name=state]", "page")
    assert page.locator(".ck-tile:visible").count() == everything - planned
    assert page.locator("[data-ck-filter=gallery] output").inner_text() == f"{everything - planned} shown"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_words_of_a_card_can_be_read(visit, book, size, scheme):
    page = visit(pages_of(book)[-1], size, color_scheme=scheme)
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
    page.evaluate("document.querySelectorAll('.ck-claim details').forEach(fold => fold.open = true)")
    assert page.locator(".ck-claim").count() > 2
    assert page.evaluate(READABLE, ".ck-claim") == []
    assert page.evaluate(CONTRAST) > 4.5


def test_search_finds_a_page(visit, book):
    name = pages_of(book)[-1]
    title = visit(name).locator("article h1").first.inner_text().strip(" #\n")
    page = visit("search.html?q=" + title.split()[0])
    page.wait_for_selector("#search-results li")
    assert name in " ".join(page.locator("#search-results a").evaluate_all("links => links.map(a => a.href)"))


def test_dark_mode_changes_the_page_and_keeps_contrast(visit):
    light, dark = (visit("index.html", color_scheme=scheme) for scheme in ("light", "dark"))
    for page, wanted in ((light, "light"), (dark, "dark")):
        page.wait_for_function(f"document.documentElement.dataset.theme === '{wanted}'")
        assert page.evaluate(CONTRAST) > 4.5  # AA


def test_the_keyboard_reaches_the_text(visit):
    page = visit("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Skip to main content"
