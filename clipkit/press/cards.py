"""The card at the head of each page: paper, authors, links, cost, verdicts, the line that runs it."""

from __future__ import annotations

from html import escape

from clipkit.press.ledger import Row
from clipkit.press.markup import authors, badge, duration, venue
from clipkit.press.settings import Site, in_repository
from clipkit.registry.papers import Entry
from clipkit.registry.parts import BY_ID


def link(text: str, url: str) -> str:
    return f'<a href="{escape(url, quote=True)}">{escape(text)}</a>'


def facts(entry: Entry) -> str:
    """Authors, venue and links in one line; empty for a foundation page."""
    if not entry.is_paper:
        return ""
    pieces = [f"<strong>{escape(authors(entry))}</strong>", f"<em>{escape(venue(entry))}</em>"]
    if entry.arxiv:
        pieces.append(link(f"arXiv:{entry.arxiv}", f"https://arxiv.org/abs/{entry.arxiv}"))
    elif entry.doi:
        pieces.append(link(f"doi:{entry.doi}", f"https://doi.org/{entry.doi}"))
    if entry.code:
        pieces.append(link("authors’ code", entry.code))
    return " · ".join(pieces)


def badges(rows: list[Row], ledger: str) -> str:
    """One badge a claim and scale, linked to the claim's row in the ledger, whose address is `ledger`."""
    found = []
    for row in rows:
        name = row.claim.id if row.scale in ("", "world") else f"{row.claim.id}, {row.scale}"
        found.append(badge(name, "stale" if row.stale else row.verdict, f"{ledger}#{row.row_id}"))
    return " ".join(found)


def header_card(entry: Entry, rows: list[Row], site: Site, status: dict | None) -> str:
    """Markdown put after the title of a page; `status` is the run's (seconds, peak memory), `rows` its ledger rows."""
    part = BY_ID[entry.part]
    status = status or {}
    preset = status.get("parameters", {}).get("preset", "quick")
    cost = f"runs in {duration(status.get('seconds'))}" + (f", {status['peak_mb']} MB" if status.get("peak_mb") else "")
    versions = status.get("parts", {}).get("versions", {})
    made = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "open_clip_torch") if versions.get(name))
    lines = [f'<p class="ck-facts">{facts(entry)}</p>'] if entry.is_paper else []
    lines.append(f'<p class="ck-cost">{escape(part.title)} · {cost} (preset {preset}){" · " + escape(made) if made else ""}</p>')
    if rows:
        lines.append(f'<p class="ck-verdicts">{badges(rows, "../ledger.html")}</p>')
    download = f'<a href="../notebooks/{entry.slug}.ipynb" download>download</a>'
    links = [download, *(link(text, url) for text, url in site.links(entry).items())]
    lines.append(f'<p class="ck-links">{" · ".join(links)}</p>')
    body = "\n".join(lines)
    command = f"papermill {in_repository(entry)} out.ipynb -p preset full"
    return f'<div class="ck-card">\n{body}\n</div>\n\n```bash\n{command}\n```\n'


def failed_note(status: dict) -> str:
    """An admonition for a page whose last run stopped."""
    error = status["error"]
    place = f"at cell [{error['cell']}]" if error["cell"] else "before its end"
    return f":::{{warning}}\nThe last run of this page stopped {place}: `{error['error'].splitlines()[0][:200]}`\n:::\n"
