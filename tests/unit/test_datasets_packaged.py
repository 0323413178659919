"""`emoji` and `clipart`: one fixed split, captions in several languages, and what they say of packages that are missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipkit.datasets import UnreadableImage, load_dataset, shared_images
from clipkit.datasets.emoji import STYLES
from clipkit.datasets.packaged import fixed_part, on_white
from clipkit.errors import ClipkitError
from clipkit.notices import forget, notices

SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()


@given(st.lists(st.tuples(st.text(), st.sampled_from("abc")), min_size=1))
def test_the_parts_share_no_key_and_name_classes_alike(pairs):
    keys, said = zip(*pairs, strict=True)
    found = {split: fixed_part("x", split, keys, said) for split in SPLITS}
    parts = {split: {keys[i] for i in rows} for split, (rows, _, _) in found.items()}
    assert not (parts["train"] & parts["val"] or parts["train"] & parts["test"] or parts["val"] & parts["test"])
    (names,) = {tuple(names) for _, _, names in found.values()}
    assert all([said[i] for i in rows] == [names[label] for label in labels] for rows, labels, _ in found.values())
    kept = {i for rows, _, _ in found.values() for i in rows}
    assert kept == {i for i, name in enumerate(said) if name in names}


def test_seven_keys_in_ten_are_for_training_and_their_order_moves_nothing():
    keys = [f"key {i}" for i in range(5000)]
    rows = {split: fixed_part("x", split, keys, ["a"] * 5000)[0] for split in SPLITS}
    assert [round(len(rows[split]) / 5000, 1) for split in SPLITS] == [0.7, 0.1, 0.2]
    backwards = fixed_part("x", "val", keys[::-1], ["a"] * 5000)[0]
    assert {keys[i] for i in rows["val"]} == {keys[::-1][i] for i in backwards}
    with pytest.raises(ClipkitError, match="unknown split of x 'tset'; did you mean 'test'"):
        fixed_part("x", "tset", keys, keys)


def test_on_white_mixes_by_opacity():
    half = Image.fromarray(np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 51]]], np.uint8))
    assert np.asarray(on_white(half)).tolist() == [[[200, 0, 0], [255, 255, 255], [244, 204, 204]]]  # a fifth red, the rest white
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.info["transparency"] = 0
    assert np.asarray(on_white(palette))[0, 0].tolist() == [255, 255, 255]


# emoji ---------------------------------------------------------------------------------------------

N = 60  # code points 1F400 ...; the last three are a second Norway and two people who run


@pytest.fixture
def emoji(tmp_path) -> Path:
    codes = [f"{0x1F400 + i:X}" for i in range(N)] + ["1F1F8-1F1EF", "1F3C3-200D-2642-FE0F", "1F3C3-200D-2640-FE0F"]
    source, names = tmp_path / "node_modules/emoji-datasource", tmp_path / "node_modules/emojibase-data"
    entries = [
        {
            "unified": code,
            "category": "Food & Drink" if i % 2 else "Flags",
            "subcategory": f"kind-{i % 3}",
            "sheet_x": i % 8,
            "sheet_y": i // 8,
        }
        for i, code in enumerate(codes)
    ]
    entries.append({"unified": "1F3FB", "category": "Component", "subcategory": "skin-tone", "sheet_x": 7, "sheet_y": 7})
    for language, word in {"en": "thing", "hi": "चीज़"}.items():
        (names / language).mkdir(parents=True)
        told = [{"hexcode": c.replace("-FE0F", ""), "label": f"{word} {c}", "tags": ["α", "b"] if c != codes[0] else []} for c in codes]
        (names / language / "data.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    for shift, style in enumerate(STYLES):
        pixels = np.zeros((8 * 34, 8 * 34, 4), np.uint8)
        for i in range(len(codes)):
            y, x = 34 * (i // 8) + 1, 34 * (i % 8) + 1
            pixels[y : y + 32, x : x + 16] = (10 * shift, 3 * (5 if i == N else i), 7, 255)  # the left half; N looks like number 5
        (source / "img" / style / "sheets").mkdir(parents=True)
        Image.fromarray(pixels).save(source / "img" / style / "sheets/32.png")
    (source / "emoji.json").write_text(json.dumps(entries))
    return tmp_path


def test_emoji_are_cut_from_the_sheet_and_named(emoji):
    parts = {split: load_dataset("emoji", split, emoji) for split in SPLITS}
    assert sum(map(len, parts.values())) == N + 2  # the second Norway looks like another, skin tones are no emoji
    for part in parts.values():
        assert part.classnames == ["flags", "food and drink"]
        for i, place in enumerate(part.paths):
            code = place.removeprefix("google/").upper()
            assert part.captions[i] == [f"thing {code}", "α, b"][: 1 if code == "1F400" else 2]
            k = int(code, 16) - 0x1F400 if "-" not in code else N + 1 + ("2640" in code)
            assert part.labels[i] == k % 2
            left, right = part.array[i, :, :16].reshape(-1, 3), part.array[i, :, 16:]
            assert (left == (0, 3 * k, 7)).all() and (right == 255).all()


def test_both_drawings_of_an_emoji_and_all_who_run_stand_in_one_part(emoji):
    both = {split: load_dataset("emoji", split, emoji, style="both", language="hi", label="subcategory") for split in SPLITS}
    told = {split: {place.partition("/")[2] for place in part.paths} for split, part in both.items()}
    assert not (told["train"] & told["test"] or told["train"] & told["val"] or told["val"] & told["test"])
    assert all(len(part) == 2 * len(told[split]) for split, part in both.items())
    assert sum(any(code.startswith("1f3c3") for code in codes) for codes in told.values()) == 1
    train = both["train"]
    half = len(train) // 2
    assert train.captions[0][0].startswith("चीज़") and train.captions[:half] == train.captions[half:]
    assert train.classnames == ["kind 0", "kind 1", "kind 2"]
    google, twitter = (load_dataset("emoji", "train", emoji, style=style) for style in STYLES)
    assert np.array_equal(np.concatenate([google.array, twitter.array]), train.array)
    assert not len(shared_images(google, load_dataset("emoji", "test", emoji)))


def test_emoji_that_are_missing_or_damaged_name_the_command(emoji, tmp_path_factory):
    with pytest.raises(ClipkitError, match=r"emoji is not in .*packages; get it with: npm install emoji-datasource emojibase-data"):
        load_dataset("emoji")
    for option, message in {"style": "Choices: google, twitter, both", "label": "Choices: category", "language": "Choices: en, hi"}.items():
        with pytest.raises(ClipkitError, match=message):
            load_dataset("emoji", root=emoji, **{option: "apple"})
    modules = emoji / "node_modules"
    names = modules / "emojibase-data/hi/data.json"
    names.write_text(json.dumps(json.loads(names.read_text(encoding="utf-8"))[1:]), encoding="utf-8")
    with pytest.raises(ClipkitError, match="no name for '1F400'.*npm install"):
        load_dataset("emoji", root=emoji, language="hi")
    sheet = modules / "emoji-datasource/img/twitter/sheets/32.png"
    sheet.write_bytes(sheet.read_bytes()[:200])
    with pytest.raises(ClipkitError, match="damaged.*npm install"):
        load_dataset("emoji", root=emoji)


# clipart -------------------------------------------------------------------------------------------

SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><metadata><rdf:RDF><cc:Work><dc:creator><cc:Agent><dc:title>The painter</dc:title>
</cc:Agent></dc:creator><dc:title>{title}</dc:title><dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject></cc:Work></rdf:RDF></metadata></svg>"""


def draw(home: Path, place: str, grey: int, title: str = "", keywords: tuple[str, ...] = (), **save) -> Path:
    png, svg = (home / "usr/share/openclipart" / kind / f"{place}.{kind}" for kind in ("png", "svg"))
    for path in (png, svg):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 10), grey).save(png, **save)
    svg.write_text(SVG.format(title=title, items="".join(f"<rdf:li>{word}</rdf:li>" for word in keywords)), encoding="utf-8")
    return png


@pytest.fixture
def clipart(tmp_path) -> Path:
    for i in range(40):
        word = "".join(chr(97 + int(digit)) for digit in f"{i:02d}")
        draw(
            tmp_path,
            f"{('food', 'map_symbols')[i % 2]}/{word}_01",
            i,
            "A collection" if i < 6 else f"Ragoût &amp;#39;{i}",
            ("hash", "", "soup"),
        )
    return tmp_path


def everything(home: Path, **options) -> dict[str, tuple]:
    """Path -> (split, captions, class, image's digest) of all parts together."""
    rows = {}
    for split in SPLITS:
        part = load_dataset("clipart", split, home, **options)
        said = (part.captions, [part.classnames[label] for label in part.labels], part.images.each_digest())
        rows |= {path: (split, *row) for path, *row in zip(part.paths, *said, strict=True)}
    return rows


def test_clipart_is_captioned_by_title_name_and_keywords(clipart):
    rows = everything(clipart)
    assert len(rows) == 40 and {row[2] for row in rows.values()} == {"food", "map symbols"}
    assert rows["map_symbols/aj_01.png"][1] == ["Ragoût '9", "aj 01", "soup"]  # unescaped twice, without what a program wrote
    assert rows["food/aa_01.png"][1] == ["aa 01", "soup"]  # six drawings have that title


def test_no_drawing_and_no_series_stands_in_two_parts(clipart):
    for i in range(30):
        draw(clipart, f"food/arrow{i:02d}_{i % 3}", 100 + i)
    folder = clipart / "usr/share/openclipart/png"
    draw(clipart, "map_symbols/copy_of_ab", 1, compress_level=6, dpi=(300, 300))  # the pixels of food/ab: other bytes
    (folder / "map_symbols/link.png").symlink_to(folder / "food/ad_01.png")
    draw(clipart, "unsorted/x", 250)
    rows = everything(clipart)
    assert len(rows) == 70 and len({row[3] for row in rows.values()}) == 70
    assert len({row[0] for path, row in rows.items() if "arrow" in path}) == 1


def test_a_picture_of_100_megapixels_is_not_decoded(clipart, monkeypatch):
    big = draw(clipart, "food/aa_01", 0)
    Image.new("1", (10_000, 10_000)).save(big)
    broken = draw(clipart, "food/ac_01", 0)
    broken.write_bytes(broken.read_bytes()[:45])
    (split,) = {row[0] for path, row in everything(clipart, readable=False).items() if path == "food/aa_01.png"}
    part = load_dataset("clipart", split, clipart, readable=False)
    with monkeypatch.context() as patch, pytest.raises(UnreadableImage, match="100 megapixels, more than the 17"):
        patch.setattr(Image, "open", lambda *a, **k: pytest.fail("it was opened"))
        part.images[part.paths.index("food/aa_01.png")]
    forget()
    left = everything(clipart)
    assert set(left) >= {"food/ae_01.png"} and not set(left) & {"food/aa_01.png", "food/ac_01.png"}
    assert any("100 megapixels" in said for said in notices()) and not any(str(clipart) in said for said in notices())


def test_large_drawings_are_shrunk_and_bad_metadata_costs_the_text_only(clipart):
    png = draw(clipart, "food/aa_01", 0)
    Image.new("RGBA", (2048, 1024), (0, 0, 0, 0)).save(png)
    (clipart / "usr/share/openclipart/svg/food/aa_01.svg").write_text("<svg><metadata>")
    (clipart / "usr/share/openclipart/svg/food/ac_01.svg").unlink()
    rows = everything(clipart)
    assert rows["food/aa_01.png"][1] == ["aa 01"] and rows["food/ac_01.png"][1] == ["ac 01"]
    part = load_dataset("clipart", rows["food/aa_01.png"][0], clipart)
    image = part.images[part.paths.index("food/aa_01.png")]
    assert image.size == (512, 256) and image.mode == "RGB" and image.getextrema() == ((255, 255),) * 3


def test_clipart_that_is_missing_names_the_command(tmp_path):
    with pytest.raises(ClipkitError, match=r"clipart is not in .*; get it with: .* apt-get download openclipart-png .* dpkg-deb -x"):
        load_dataset("clipart", root=tmp_path)
    for kind in ("png", "svg"):
        (tmp_path / "usr/share/openclipart" / kind).mkdir(parents=True)
    with pytest.raises(ClipkitError, match="no drawing in .*apt-get download"):
        load_dataset("clipart", root=tmp_path)
