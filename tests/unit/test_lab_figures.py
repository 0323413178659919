"""Figures: the style, the looks of methods, alternative text, crisp pictures."""

from __future__ import annotations

import base64
import doctest
import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import clipkit.lab.figures
import clipkit.lab.palette as palette
import clipkit.lab.plots as plots
from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.lab.pictures import contact_sheet


@pytest.fixture
def shown(monkeypatch):
    """Everything put on the page: (PNG as array, alternative text)."""
    seen = []

    def publish(bundle, metadata=None):
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).convert("RGB"))
        seen.append((image, metadata["image/png"]["alt"]))

    monkeypatch.setattr(clipkit.lab.figures, "publish", publish)
    palette.new_page()
    return seen


@pytest.fixture
def long_form():
    rng = np.random.default_rng(0)
    rows = [(s, k, m, 50 + k + rng.normal()) for s in range(5) for k in (1, 2, 4) for m in ("gda", "tip_adapter", "other_thing")]
    return pd.DataFrame(rows, columns=["seed", "shots", "method", "accuracy"])


def test_doctests():
    assert doctest.testmod(plots).failed == 0
    assert doctest.testmod(palette).failed == 0


def test_figure_is_shown_once_on_white_with_its_text(shown):
    before = dict(matplotlib.rcParams)
    with lab.figure("A rising line.\n  Twice as high at the end.", title="It rises") as ax:
        ax.plot([0, 1], [0, 1])
    (image, alt), *rest = shown
    assert not rest and alt == "A rising line. Twice as high at the end."
    assert image.shape[:2] == (396, 704) and (image[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    assert dict(matplotlib.rcParams) == before


def test_several_panels_and_errors_inside(shown):
    with lab.figure("two", columns=2, sharey=True) as axes:
        assert axes.shape == (2,)
    with pytest.raises(ZeroDivisionError), lab.figure("none"):
        _ = 1 / 0
    assert len(shown) == 1  # a figure that was not finished is not shown


def test_alternative_text_is_required(long_form):
    for call in (
        lambda: lab.show(b"", " "),
        lambda: lab.bars(pd.DataFrame({"a": [1.0]})),
        lambda: lab.curves(long_form, "shots", "accuracy", "method"),
    ):
        with pytest.raises(ClipkitError, match="alternative text"):
            call()


def test_style_can_be_taken_back():
    with matplotlib.rc_context({"axes.titlelocation": "center"}):
        with lab.style():
            assert matplotlib.rcParams["axes.titlelocation"] == "left"
        assert matplotlib.rcParams["axes.titlelocation"] == "center"


def test_same_png_for_the_same_drawing(shown):
    for _ in range(2):
        lab.bars(pd.DataFrame({"gda": [1.0, 2.0]}), alt="bars")
    assert (shown[0][0] == shown[1][0]).all()


def test_known_looks_are_fixed_and_distinct():
    seen = [(own.colour, own.marker, own.line) for own in palette.KNOWN.values()]
    assert len(set(seen)) == len(seen)
    assert lab.look("never heard of") == lab.look("never heard of")
    with_others = lab.looks(["something", "gda", "tip_adapter"])
    assert with_others["gda"] == palette.KNOWN["gda"]


@given(st.lists(st.text("abcdefgh_", min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
@settings(max_examples=30, deadline=None)
def test_methods_of_a_figure_differ_in_colour_and_marker(names):
    palette.new_page()
    first = lab.looks(names)
    for attribute in ("colour", "marker"):
        assert len({getattr(own, attribute) for own in first.values()}) == len(names)
    assert lab.looks(reversed(names)) == first  # the same on the whole page


def test_colours_are_readable_text_once_darkened():
    for colour in palette.COLOURS:
        ink = palette.ink(colour)
        assert 1.05 / (palette.luminance([int(ink[i : i + 2], 16) for i in (1, 3, 5)]) + 0.05) >= 4.5


def test_curves_draw_means_bands_and_labels(long_form):
    axes = clipkit.lab.figures.new_figure().subplots()
    said = lab.curves(long_form, "shots", "accuracy", "method", ax=axes, xscale="log2")
    assert said == "bands: 95 % interval of the mean, 5 seeds"
    assert len(axes.lines) == 3 and len(axes.collections) == 3
    expected = long_form[long_form.method == "gda"].groupby("shots").accuracy.mean()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    assert [text.get_text() for text in axes.texts] == ["gda", "tip adapter", "other thing"]
    few = long_form[long_form.seed < 2]
    assert lab.curves(few, "shots", "accuracy", "method", ax=axes) == "bands: smallest to largest of 2 seeds"
    assert lab.curves(few[few.seed < 1], "shots", "accuracy", "method", ax=axes) == ""


def test_curves_alone_are_shown(shown, long_form):
    assert lab.curves(long_form, "shots", "accuracy", "method", alt="three lines", title="They rise") is None
    assert shown[0][1] == "three lines"
    with pytest.raises(ClipkitError, match="unknown column 'shot'"):
        lab.curves(long_form, "shot", "accuracy", alt="x")


def test_bars_are_sorted_and_show_each_seed():
    axes = clipkit.lab.figures.new_figure().subplots()
    runs = pd.DataFrame({"gda": [80.0, 82.0], "zero_shot": [60.0, 61.0]})
    assert lab.bars(runs[["zero_shot", "gda"]], ax=axes) == "dots: 2 seeds"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["gda", "zero shot"]
    assert [bar.get_width() for bar in axes.patches] == [81.0, 60.5]
    assert [text.get_text() for text in axes.texts] == ["81.0", "60.5"]
    with pytest.raises(ClipkitError, match="unknown arm 'gad'"):
        lab.bars(runs, ax=axes, arms=["gad"])


def test_the_number_of_a_bar_stands_clear_of_the_marks_of_this_run():
    axes = clipkit.lab.figures.new_figure().subplots()
    lab.bars(pd.DataFrame({"a": [80.0, 82.0], "b": [-0.01, 0.0]}), ax=axes, start=70, live=pd.DataFrame({"a": [99.0], "b": [60.0]}))
    assert [text.xy[0] for text in axes.texts] == [99.0, 70.0]
    low, high = axes.get_xlim()
    assert low <= 0 and high > 99  # every mark is on the paper
    assert [text.get_text() for text in axes.texts] == ["81.0", "0.0"]


def test_no_cell_of_a_heat_map_is_minus_zero():
    axes = clipkit.lab.figures.new_figure().subplots()
    lab.heatmap(pd.DataFrame([[-0.04, -1.25], [np.nan, 2.0]], columns=["a", "b"]), ax=axes)
    assert [text.get_text() for text in axes.texts] == ["0.0", "\N{MINUS SIGN}1.2", "2.0"]


def test_heatmap(shown):
    lab.heatmap(pd.DataFrame([[1.0, np.nan], [3.0, 4.0]], columns=["a", "b"]), alt="four cells", title="Cells", centre=2.0)
    assert shown[0][1] == "four cells"
    with pytest.raises(ClipkitError, match="at least one row"):
        lab.heatmap(pd.DataFrame(), alt="x")


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_spread_keeps_order_gap_and_bounds(values):
    placed = plots.spread(values, 1.0, 0.0, 10.0)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= 1.0 - 1e-9).all()
    assert min(placed) >= -1e-9 and max(placed) <= 10 + 1e-9


def test_contact_sheet_enlarges_exactly():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    sheet, places = contact_sheet(images, ["one", "two", "three", "a very long caption that wraps", "five"], columns=2, scale=4)
    assert sheet.shape[1] == 2 * (32 + 6) - 6 and len(places) == 5
    assert (sheet[:32:4, :32:4] == images[0]).all() and (sheet[3:32:4, 41:70:4] == images[1]).all()
    assert "\n" in places[3][0]


def test_image_grid_pixels_survive_to_the_page(shown):
    images = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    lab.image_grid(images, ["a", "b", "c"], columns=3, scale=5)
    page, alt = shown[0]
    assert alt == "Images of: a; b; c"
    assert (page[2:80:5, 2:80:5] == images[0]).all()  # every image pixel a 5 x 5 square
    lab.image_grid(images, ["a", "b", "c"], title="Three pictures of nothing")
    lab.image_grid(images[..., 0], alt="three grey squares")
    assert len(shown) == 3


@pytest.mark.parametrize(
    ("images", "options", "said"),
    [
        (np.zeros((2, 8, 8, 3)), {"alt": "x"}, "uint8"),
        (np.zeros((0, 8, 8, 3), np.uint8), {"alt": "x"}, "N at least 1"),
        (np.zeros((2, 8, 8, 4), np.uint8), {"alt": "x"}, r"\(N, H, W, 3\)"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)], {"alt": "x"}, "differ in shape"),
        (np.zeros((2, 8, 8, 3), np.uint8), {"titles": ["a"]}, "2 images but 1 titles"),
        (np.zeros((2, 8, 8, 3), np.uint8), {}, "needs titles"),
    ],
)
def test_bad_images(images, options, said):
    with pytest.raises(ClipkitError, match=said):
        lab.image_grid(images, **options)


def test_in_a_notebook_the_outputs_are_whole(monkeypatch):
    """In IPython's own display machinery: alternative text in the metadata, claims as JSON, glue as myst-nb stores it."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    try:
        shell.run_cell("shots = 16")
        with capture_output() as captured:
            lab.show(b"\x89PNG", "nothing much")
            lab.glue("gain", -1.25, digits=1)
        figure, glued = captured.outputs
        assert figure.metadata == {"image/png": {"alt": "nothing much"}} and figure.data["text/plain"] == "[figure: nothing much]"
        assert glued.data == {"application/papermill.record/text/plain": "\N{MINUS SIGN}1.2"}
        assert glued.metadata["scrapbook"] == {"name": "gain", "mime_prefix": "application/papermill.record/"}
        with pytest.raises(ClipkitError, match="finite number"):
            lab.glue("gain", float("nan"))
    finally:
        InteractiveShell.clear_instance()
