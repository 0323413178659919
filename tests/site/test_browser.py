"""The site in a real browser, from its folder and without a network: what a reader does, on a desk and on a phone.

Needs a chromium of the system (Debian: `apt install chromium`); skipped with a notice where there is none.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from clipkit.press.optimise_site import transferred

sync = pytest.importorskip("playwright.sync_api", reason="needs the extra `test`")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
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
BROKEN = "[...document.images].filter(i => i.complete && !i.naturalWidth && i.loading !== 'lazy').map(i => i.src)"
MUTE = "[...document.querySelectorAll('article.bd-article img, .ck-tile img')].filter(i => !i.alt).map(i => i.src)"


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on this machine: the site is not looked at in a browser (Debian: apt install chromium)")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, book):
    """visit(page, size) opens a page; afterwards nothing may have been logged as an error or asked of another machine."""
    contexts, trouble = [], []

    def open_page(name: str, size: dict = DESK, **options):
        context = chromium.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: urlsplit(request.url).scheme not in ("file", "data", "blob") and trouble.append(request.url))
        file, _, query = name.partition("?")
        page.goto((book / file).as_uri() + ("?" + query if query else ""), wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble


def pages_of(root: Path) -> list[str]:
    """The landing page, the ledger, teaching, the how-tos, and up to three pages of notebooks."""
    notebooks = sorted(p.stem for p in (root / "notebooks").glob("*.ipynb"))
    found = [str(path.relative_to(root)) for name in notebooks for path in sorted(root.glob(f"*/{name}.html"))]
    guides = [str(path.relative_to(root)) for path in sorted((root / "howto").glob("*.html"))]
    return ["index.html", "ledger.html", "teaching.html", *guides, *found[:3]]


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
    """Two million bytes as a server sends them (text compressed); the theme's script of 2,000 icons keeps those in use."""
    for name in pages_of(book):
        page = visit(name)
        page.wait_for_selector("svg.svg-inline--fa", state="attached")
        assert page.evaluate("document.querySelectorAll('svg.svg-inline--fa:not(:has(path[d]))').length") == 0
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.reload(wait_until="load")
        files = {Path(unquote(urlsplit(address).path)) for address in asked if address.startswith("file:")}
        assert len(files) > 10  # styles, scripts, fonts
        assert transferred([path for path in files if path.is_file()]) < 2_000_000, name
    assert (book / "_static" / "scripts" / "fontawesome.js").stat().st_size < 200_000


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


def test_ledger_filter_and_order(visit):
    page = visit("ledger.html?verdict=open")
    shown = page.locator("table.ck-ledger tbody tr:visible")
    assert shown.count() == page.locator("table.ck-ledger tbody tr[data-verdict=open]").count() > 0
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "")
    assert shown.count() == page.locator("table.ck-ledger tbody tr").count()
    page.get_by_role("button", name="verdict").click()
    keys = page.evaluate("[...document.querySelectorAll('table.ck-ledger tbody tr')].map(r => +r.cells[5].dataset.key)")
    assert keys == sorted(keys)
    page.get_by_role("button", name="verdict").click()
    assert page.locator("th[aria-sort=descending]").inner_text().strip() == "verdict"
    page.fill("[data-ck-filter=ledger] input[name=words]", "no such words anywhere")
    assert shown.count() == 0


def test_a_badge_leads_to_its_claim(visit, book):
    page = visit(pages_of(book)[-1])
    page.locator(".ck-card .ck-badge").first.click()
    page.wait_for_url("**/ledger.html#*")
    assert page.locator("tr:target").count() == 1


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
