"""The site in a real browser, from its folder and without a network: what a reader does, on a desk and on a phone.

Needs a chromium of the system (Debian: `apt install chromium`); skipped with a notice where there is none.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from builder.optimise_site import transferred

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
    waiting = page.locator("#not-run tbody tr").count()
    assert shown.count() == page.locator("table.ck-ledger tbody tr[data-verdict=open]").count() > 0
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "")
    assert shown.count() == page.locator("table.ck-ledger tbody tr").count() - waiting  # what was not run is folded
    for head, column in (("outcome", 2), ("effect in δ", 4)):
        page.locator("table.ck-measured").get_by_role("button", name=head).click()
        cells = f"[...document.querySelectorAll('table.ck-measured tbody tr')].map(r => r.cells[{column}].dataset.key)"
        keys = [float(key) for key in page.evaluate(cells) if key]
        assert keys == sorted(keys) and len(set(keys)) > 2
    page.locator("table.ck-measured").get_by_role("button", name="effect in δ").click()
    assert page.locator("th[aria-sort=descending]").inner_text().strip() == "effect in δ"
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "not-run")
    assert shown.count() == waiting > 0  # and opens when asked for
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "")
    page.fill("[data-ck-filter=ledger] input[name=words]", "no such words anywhere")
    assert shown.count() == 0


def test_on_a_phone_a_row_of_the_ledger_is_a_short_card_that_opens(visit):
    page = visit("ledger.html", PHONE)
    assert page.evaluate("document.documentElement.scrollHeight") <= 20.5 * PHONE["height"]
    row = page.locator("table.ck-measured tbody tr").first
    short = row.bounding_box()["height"]
    assert row.locator(".ck-more:visible").count() == 0 and row.locator("svg.ck-line").is_visible()
    row.get_by_role("button", name="more").click()
    assert row.locator(".ck-more:visible").count() > 2 and row.bounding_box()["height"] > short
    assert visit("ledger.html").locator("button.ck-whole:visible").count() == 0  # on a desk all is shown


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_words_of_a_card_can_be_read(visit, book, size, scheme):
    page = visit(pages_of(book)[-1], size, color_scheme=scheme)
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
    page.evaluate("document.querySelectorAll('.ck-claim details').forEach(fold => fold.open = true)")
    assert page.locator(".ck-claim").count() > 2
    assert page.evaluate(READABLE, ".ck-claim") == []
    assert page.evaluate(CONTRAST) > 4.5


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
