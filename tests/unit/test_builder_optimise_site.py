"""A lighter site: icons in use stay, by any of their names; photographs become JPEG; doing it twice changes nothing."""

from __future__ import annotations

import numpy as np
from PIL import Image

from builder import optimise_site

SCRIPT = 'x={sun:[512,512,[9728],"f185","M1"],"xmark":[384,512,[128473,"close","times"],"f00d","M2"],two:[1,1,[],"f1",["M3","M4"]]},y=[1,2]'


def test_icons_are_kept_by_name_and_by_other_name():
    assert optimise_site.only_icons(SCRIPT, {"times"}) == 'x={"xmark":[384,512,[128473,"close","times"],"f00d","M2"],},y=[1,2]'
    assert optimise_site.only_icons(SCRIPT, {"sun", "xmark", "two"}) == SCRIPT
    assert optimise_site.only_icons(SCRIPT, set()) == "x={},y=[1,2]"


def test_a_site_is_optimised_in_place(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "_static" / "scripts").mkdir(parents=True)
    (tmp_path / "_static" / "scripts" / "fontawesome.js").write_text(SCRIPT)
    (tmp_path / "_static" / "theme.js").write_text("make('fa-two')")
    y, x = np.mgrid[:400, :400]
    noise = np.random.default_rng(0).integers(0, 24, (400, 400, 3))
    photograph = (np.stack([x / 4, y / 4, (x + y) / 8], 2) + noise).astype(np.uint8)
    Image.fromarray(photograph).save(tmp_path / "_images" / "photo.png")
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(tmp_path / "_images" / "drawing.png")
    (tmp_path / "a.html").write_text('<i class="fa-solid fa-sun"></i><img src="_images/photo.png"><img src="_images/drawing.png">')
    optimise_site.optimise_site(tmp_path)
    assert sorted(p.name for p in (tmp_path / "_images").iterdir()) == ["drawing.png", "photo.jpg"]
    assert 'src="_images/photo.jpg"' in (tmp_path / "a.html").read_text() and "drawing.png" in (tmp_path / "a.html").read_text()
    script = (tmp_path / "_static" / "scripts" / "fontawesome.js").read_text()
    assert "sun:" in script and "two:" in script and "xmark" not in script
    with Image.open(tmp_path / "_images" / "photo.jpg") as kept:
        assert np.abs(np.asarray(kept).astype(int) - photograph).mean() < 10
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    optimise_site.optimise_site(tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_drawing_gets_a_palette_and_what_would_suffer_does_not(tmp_path):
    (tmp_path / "_images").mkdir()
    drawing = np.full((300, 300, 4), 255, np.uint8)
    drawing[::7, :, :3], drawing[:, ::5, 1] = (0, 114, 178), 40
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    see_through = drawing.copy()
    see_through[:9, :9, 3] = 0
    for name, picture in (("drawing", drawing), ("noise", noise), ("glass", see_through)):
        Image.fromarray(picture).save(tmp_path / "_images" / f"{name}.png", compress_level=1)
    optimise_site.optimise_site(tmp_path)
    kept = {path.stem: Image.open(path) for path in (tmp_path / "_images").iterdir()}
    assert {name: picture.mode for name, picture in kept.items()} == {"drawing": "P", "noise": "RGB", "glass": "RGBA"}
    assert np.array_equal(np.asarray(kept["drawing"].convert("RGB")), drawing[..., :3])


def test_transferred_counts_text_compressed_and_pictures_as_they_are(tmp_path):
    (tmp_path / "a.css").write_text("a" * 10_000)
    (tmp_path / "b.png").write_bytes(b"a" * 500)
    assert 500 < optimise_site.transferred([tmp_path / "a.css", tmp_path / "b.png"]) < 700
