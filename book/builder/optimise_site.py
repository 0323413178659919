"""What a reader need not load: icons that no page shows, photographs stored as drawings, colours nobody sees. Done to the built site."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path

ICON = re.compile(
    r"""(?:"(?P<quoted>[\w-]+)"|(?P<bare>[A-Za-z_$][\w$]*)):       # its name,
        \[\d+,\d+,\[(?P<aliases>[^\[\]]*)\],"[0-9a-f]+",           # width, height, other names, code point,
        (?:"[^"]*"|\["[^"]*","[^"]*"\])\],?                        # one path or two""",
    re.VERBOSE,
)
USED = re.compile(r"\bfa-([a-z0-9]+(?:-[a-z0-9]+)*)")
EXERCISE = re.compile(r"(Exercise(?:&nbsp;|\s))(\d+)(?!\d)")
LARGE = 200_000  # bytes of a PNG above which a photograph is looked for
QUALITY = 88
MOST_OFF = 1.0


def optimise_site(html: Path) -> None:
    """Make a built site (folder of HTML files) lighter, in place; a second call changes nothing."""
    pages = sorted(html.rglob("*.html"))
    icons = html / "_static" / "scripts" / "fontawesome.js"
    if icons.is_file():
        scripts = [path for path in (html / "_static").rglob("*.js") if path != icons and "fontawesome" not in path.parts]
        used = {name for path in [*pages, *scripts] for name in USED.findall(path.read_text(encoding="utf-8"))}
        icons.write_text(only_icons(icons.read_text(encoding="utf-8"), used), encoding="utf-8")
    for path in pages:
        text = path.read_text(encoding="utf-8")
        if (mended := without_unused(name_controls(number_exercises(text)))) != text:
            path.write_text(mended, encoding="utf-8")
    renamed = {path.name: _as_photograph(path) for path in sorted((html / "_images").glob("*.png"))}
    renamed = {old: new for old, new in renamed.items() if new}
    for path in pages if renamed else ():
        text = path.read_text(encoding="utf-8")
        if any(old in text for old in renamed):
            path.write_text(re.sub(r"[\w-]+\.png", lambda found: renamed.get(found[0], found[0]), text), encoding="utf-8")
    for old in renamed:
        (html / "_images" / old).unlink()
    for path in sorted((html / "_images").glob("*.png")):
        _with_palette(path)


def number_exercises(page: str) -> str:
    """HTML with the exercises counted from 1 on the page; Sphinx counts them through the book.

    >>> number_exercises('<span class="caption-number">Exercise 7 </span> … Solution to <a>Exercise 7</a>')
    '<span class="caption-number">Exercise 1 </span> … Solution to <a>Exercise 1</a>'
    """
    numbers = {}
    for found in re.finditer(r'caption-number">\s*Exercise\s(\d+)', page):
        numbers.setdefault(found[1], str(len(numbers) + 1))
    return EXERCISE.sub(lambda found: found[1] + numbers.get(found[2], found[2]), page) if numbers else page


LEFT_OUT = (
    (
        '<summary><span class="toctree-toggle"',
        '<summary aria-label="Pages of this part"><span class="toctree-toggle"',
    ),  # toggles without a name
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),  # a list without items
    (
        'search-button-field search-button__button pst-js-only" title="Search" aria-label="Search"',
        'search-button-field search-button__button pst-js-only"',
    ),
    *((f'data-mode="{mode}"  title="{title}"', f'data-mode="{mode}"') for mode, title in (("dark", "Dark"), ("auto", "System Settings"))),
    ('data-mode="light" title="Light"', 'data-mode="light"'),  # names that are not part of the button's
)
INDEX = re.compile(r'<script src="[./]*(?:_static/(?:searchtools|language_data)|searchindex)\.js"></script>\n?')
MATHEMATICS = re.compile(r'<script[^>]*src="[^"]*tex-mml-chtml\.js[^"]*"[^>]*></script>\n?')


def name_controls(page: str) -> str:
    """HTML in which a screen reader finds one name for each control, and no list without items; what the theme leaves out.

    >>> name_controls('<summary><span class="toctree-toggle" role="presentation">')
    '<summary aria-label="Pages of this part"><span class="toctree-toggle" role="presentation">'
    """
    for theirs, ours in LEFT_OUT:
        page = page.replace(theirs, ours)
    return page


def without_unused(page: str) -> str:
    """HTML without the scripts that the theme loads on every page and this one does not use: the search's index, mathematics.

    >>> without_unused('<p>a</p><script src="../searchindex.js"></script><script defer src="../mathjax/tex-mml-chtml.js?v=1"></script>')
    '<p>a</p>'
    """
    page = page if 'id="search-results"' in page else INDEX.sub("", page)
    return page if 'class="math' in page else MATHEMATICS.sub("", page)


def only_icons(script: str, used: set[str]) -> str:
    """Font Awesome's script with the icons in `used` (by any of their names) alone."""

    def kept(found: re.Match) -> str:
        names = {found["quoted"] or found["bare"], *re.findall(r'"([\w-]+)"', found["aliases"])}
        return found[0] if names & used else ""

    return ICON.sub(kept, script)


def _as_photograph(path: Path) -> str | None:
    """Write a large PNG as JPEG beside it if that takes less than a third; the new name, or None."""
    from PIL import Image

    if path.stat().st_size < LARGE:
        return None
    with Image.open(path) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    if 3 * len(buffer.getvalue()) > path.stat().st_size:
        return None
    path.with_suffix(".jpg").write_bytes(buffer.getvalue())
    return path.with_suffix(".jpg").name


def _with_palette(path: Path) -> None:
    """Store an opaque PNG with 256 colours of its own if that is a fifth smaller and less than MOST_OFF (of 255) off on average."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        if image.mode == "P" or (image.mode == "RGBA" and image.getextrema()[3][0] < 255):
            return
        true = image.convert("RGB")
    drawn, buffer = true.quantize(256, dither=Image.Dither.NONE), io.BytesIO()
    drawn.save(buffer, "PNG", optimize=True)
    off = np.abs(np.asarray(drawn.convert("RGB"), dtype=float) - np.asarray(true)).mean()
    if off < MOST_OFF and len(buffer.getvalue()) < 0.8 * path.stat().st_size:
        path.write_bytes(buffer.getvalue())


def transferred(paths: list[Path]) -> int:
    """Bytes that a browser fetches for these files from a server that compresses text, as GitHub Pages does."""
    packed = (".html", ".js", ".css", ".svg", ".json", ".csv")
    return sum(len(gzip.compress(path.read_bytes(), 6)) if path.suffix in packed else path.stat().st_size for path in paths)
