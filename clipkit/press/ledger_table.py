"""The ledger as the site shows it: counts in a sentence, and one table that a script can sort and filter."""

from __future__ import annotations

from html import escape

from clipkit.press import ledger as books
from clipkit.press.ledger import Row
from clipkit.press.markup import badge, number, paper_number, span
from clipkit.registry.papers import Registry
from clipkit.registry.parts import BY_ID

HEADS = ("page", "claim", "the paper", "scale", "here, with 95 % interval", "verdict")
VERDICTS = ("holds", "fails", "inconclusive", "too few seeds", "not run", "not tested")  # also the order in which they sort


def counts_sentence(rows: list[Row]) -> str:
    """What stands above the ledger."""
    total = books.counts(rows)
    listed = ", ".join(
        f'<a href="ledger.html?verdict={name.replace(" ", "-")}">{total[name]} {name}</a>' if total[name] else f"{total[name]} {name}"
        for name in VERDICTS
    )
    return (
        f"**{total['claims']} claims**: {listed}. Of the {total['holds']} that hold, {total['holds after Holm']} survive "
        f"Holm's adjustment for the other claims of their page. {total['stale']} verdicts are stale: the code has moved on since."
    )


def ledger_table(registry: Registry, rows: list[Row], built: set[str]) -> str:
    """One table in the order of the registry's parts; above it the filter, hidden until its script has run."""
    order = {part.id: place for place, part in enumerate(registry.parts())}
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    measured_first = sorted(rows, key=lambda row: (row.verdict == "not run", order[row.entry.part]))
    body = "\n".join(_row(row, built) for row in measured_first)
    return f'{_filter(registry, rows)}\n<table class="ck-ledger"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>\n'


def _filter(registry: Registry, rows: list[Row]) -> str:
    def choice(name: str, options: list[tuple[str, str]]) -> str:
        listed = "".join(f'<option value="{value}">{escape(text)}</option>' for value, text in options)
        return f'<label>{name.capitalize()} <select name="{name}"><option value="">all</option>{listed}</select></label>'

    verdicts = [(name.replace(" ", "-"), name) for name in VERDICTS]
    scales = [(name, name) for name in sorted({row.scale for row in rows if row.record})]
    return (
        '<form class="ck-filter" data-ck-filter="ledger" hidden>'
        + choice("verdict", verdicts)
        + choice("scale", scales)
        + choice("part", [(part.id, part.title) for part in registry.parts()])
        + '<label>Words <input name="words" type="search" size="14"></label><output aria-live="polite"></output></form>'
    )


def _row(row: Row, built: set[str]) -> str:
    entry, claim = row.entry, row.claim
    name = escape(entry.slug)
    page = f'<a href="{entry.part}/{entry.slug}.html">{name}</a>' if entry.slug in built else f'<span class="ck-grey">{name}</span>'
    page += f'<br><small class="ck-grey">{escape(BY_ID[entry.part].title)}</small>'
    ours, scale = "–", escape(row.scale or "–")
    if row.estimate is not None:
        ours = f"<strong>{number(row.estimate, escape(row.unit))}</strong> {span(row.low, row.high)}, {row.seeds} seeds"
        scale += f"<br><small>{escape(str(row.record.model))}, {escape(str(row.record.dataset['name']))}</small>"
    elif claim.untestable:
        ours = f"<small>{escape(claim.untestable)}</small>"
    verdict = badge("", row.verdict) + (" " + badge("", "stale") if row.stale else "")
    cells = (page, f"<strong>{claim.id}</strong> {escape(claim.text)}", paper_number(claim), scale, ours, verdict)
    # How far the effect lies from the margin, in margins: the only number that can be sorted across units.
    in_margins = "" if row.estimate is None else f"{row.estimate / claim.test['margin']:.4f}"
    keys = (f"{entry.slug} {claim.id}", claim.text, str(claim.paper.get("value") or ""), row.scale, in_margins, VERDICTS.index(row.verdict))
    tells = f'data-part="{entry.part}" data-verdict="{row.verdict.replace(" ", "-")}" data-scale="{row.scale if row.record else ""}"'
    inside = "".join(_cell(*triple) for triple in zip(HEADS, cells, keys, strict=True))
    return f'<tr id="{row.row_id}" {tells}>{inside}</tr>'


def _cell(head: str, content: str, key: object) -> str:
    """A cell that knows its column, for the phone, where rows are stacked, and its key, for sorting."""
    named = "" if head in ("page", "claim", "verdict") else f' data-head="{head}"'
    return f'<td{named} data-key="{escape(str(key), quote=True)}">{content}</td>'
