"""The ledger in a browser: filters, order, forty rows at a time, all of them without a script and on paper."""

from __future__ import annotations

from tests.site.conftest import PHONE, pages_of


def test_ledger_filter_and_order(visit, book):
    text = (book / "ledger.html").read_text(encoding="utf-8")
    run, waiting = (part.count("<tr id=") for part in text.split('id="not-run"'))
    opened = text.count('data-verdict="open"')
    page = visit("ledger.html?verdict=open")
    shown, output = page.locator("table.ck-ledger tbody tr:visible"), page.locator("[data-ck-filter=ledger] output")
    assert output.inner_text() == f"{opened} rows" and 0 < shown.count() <= 40
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "")
    assert output.inner_text() == f"{run + waiting} rows, {waiting} of them folded below"  # what was not run is folded
    assert shown.count() == 40 < run
    page.get_by_role("button", name="more of").first.click()
    assert shown.count() == min(80, run)
    assert page.evaluate("document.getElementsByTagName('*').length") <= 6000
    for head, column in (("outcome", 2), ("effect in δ", 4)):
        page.locator("table.ck-measured").get_by_role("button", name=head).click()
        cells = f"[...document.querySelectorAll('table.ck-measured tbody tr')].map(r => r.cells[{column}].dataset.key)"
        keys = [float(key) for key in page.evaluate(cells) if key]
        assert keys == sorted(keys) and (column == 2 or len(set(keys)) > 2)
    page.locator("table.ck-measured").get_by_role("button", name="effect in δ").click()
    assert page.locator("th[aria-sort=descending]").inner_text().strip() == "effect in δ"
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "not-run")
    assert shown.count() == min(40, waiting) > 0  # and opens when asked for
    page.select_option("[data-ck-filter=ledger] select[name=verdict]", "")
    page.fill("[data-ck-filter=ledger] input[name=words]", "no such words anywhere")
    assert shown.count() == 0
    page.evaluate("document.querySelector('[data-ck-filter=ledger] input').value = ''")
    page.locator("[data-ck-filter=ledger] select[name=part]").select_option("")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("table.ck-measured tbody tr").count() == run  # all of it on paper


def test_without_a_script_the_ledger_shows_all_rows(chromium, book):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((book / "ledger.html").as_uri())
    assert page.locator("table.ck-measured tbody tr").count() == (book / "ledger.html").read_text("utf-8").split('id="not-run"')[0].count(
        "<tr id="
    )
    context.close()


def test_the_ledger_is_light_and_short_however_many_rows_there_are(visit):
    page = visit("ledger.html", PHONE)
    assert page.evaluate("document.getElementsByTagName('*').length") <= 3000
    assert page.evaluate("document.documentElement.scrollHeight") <= 12 * PHONE["height"]
    row = page.locator("table.ck-measured tbody tr").first
    short = row.bounding_box()["height"]
    assert row.locator(".ck-more:visible").count() == 0 and row.locator("svg.ck-line").is_visible()
    row.get_by_role("button", name="more").click()
    assert row.locator(".ck-more:visible").count() > 2 and row.bounding_box()["height"] > short
    assert visit("ledger.html").locator("button.ck-whole:visible").count() == 0  # on a desk all is shown


def test_a_claim_beside_its_badge_leads_to_its_row(visit, book):
    page = visit(pages_of(book)[-1])
    page.locator(".ck-card .ck-group a").first.click()
    page.wait_for_url("**/ledger.html#*")
    assert page.locator("tr:target").count() == 1
