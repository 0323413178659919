"""BibTeX from the registry: one entry a paper, its slug as the key."""

from __future__ import annotations

import re

from clipkit.registry.papers import Entry, Registry

HEADER = "% Generated from data/papers.yml by `make readme`; do not edit. Background literature: background.bib.\n"
SPECIAL = str.maketrans({"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$"})


def bibtex_entry(entry: Entry) -> str:
    """One BibTeX entry; papers without a venue, or on arXiv only, become @misc."""
    venue = entry.venue or ""
    published = bool(venue) and "arxiv" not in venue.lower()
    journal = published and any(
        word in venue.lower() for word in ("journal", "trans", "ieee", "tmlr", "ijcv", "pami", "letters", "computing")
    )
    fields = {
        "title": "{" + entry.title.translate(SPECIAL) + "}",
        "author": " and ".join(name.translate(SPECIAL) for name in entry.authors),
        "year": str(entry.year),
    }
    if published:
        fields["journal" if journal else "booktitle"] = re.sub(rf"[,\s]*\b{entry.year}$", "", venue).translate(SPECIAL) or venue
    if entry.arxiv:
        fields |= {"eprint": entry.arxiv, "archivePrefix": "arXiv"}
    elif entry.doi:
        fields["doi"] = entry.doi
    kind = "article" if journal else "inproceedings" if published else "misc"
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{entry.slug},\n{body}}}\n"


def bibtex(registry: Registry) -> str:
    """The text of book/references.bib: every paper, and the foundation pages that name authors, sorted by slug."""
    cited = [entry for entry in registry.entries if entry.authors and entry.year]
    return HEADER + "\n" + "\n".join(bibtex_entry(entry) for entry in sorted(cited, key=lambda e: e.slug))
