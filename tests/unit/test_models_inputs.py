"""What a model is given: pictures of every mode and turn, texts that are none, one picture where many are expected."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import load_model
from clipkit.datasets.images import decode, to_rgb
from clipkit.errors import ClipkitError
from clipkit.features import text_features
from clipkit.models.inputs import as_picture, as_texts

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (24, 30), dtype=np.uint8)
PICTURE = Image.fromarray(RNG.integers(0, 256, (24, 30, 3), dtype=np.uint8))
# How a camera that was turned stores the picture, for each EXIF orientation: what undoes it.
TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu")


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_every_exif_orientation_comes_out_upright_and_once(tmp_path, orientation, suffix):
    stored = PICTURE if TURNED[orientation] is None else PICTURE.transpose(TURNED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    stored.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    read = decode(path, "x")
    assert np.array_equal(np.asarray(read), np.asarray(PICTURE))
    assert np.array_equal(np.asarray(to_rgb(read)), np.asarray(PICTURE))  # not turned again


def test_a_damaged_exif_block_does_not_cost_the_picture():
    broken = PICTURE.copy()
    broken.info["exif"] = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"
    assert np.array_equal(np.asarray(to_rgb(broken)), np.asarray(PICTURE))


@pytest.mark.parametrize(
    ("array", "suffix"),
    [
        (GREY.astype(np.uint16) * 257, "png"),
        (GREY.astype(np.uint16) * 257, "tif"),
        (GREY.astype(">u2") * 257, "tif"),
        (GREY.astype(np.int32) * 257, "tif"),
        (GREY.astype(np.int32), "tif"),
        (GREY.astype(np.float32) / 255, "tif"),
        (GREY.astype(np.float32), "tif"),
        (GREY.astype(np.float32) * 257, "tif"),
    ],
)
def test_deep_greys_keep_their_tones_from_file_and_in_memory(tmp_path, array, suffix):
    image = Image.fromarray(array)
    image.save(tmp_path / f"x.{suffix}")
    for read in (decode(tmp_path / f"x.{suffix}", "x"), as_picture(image), as_picture(Image.open(tmp_path / f"x.{suffix}"))):
        assert read.mode == "RGB" and np.array_equal(np.asarray(read), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("value", [-1.0, 70_000.0, float("nan"), float("inf")])
def test_greys_without_a_known_white_are_refused(tmp_path, nano, value):
    array = GREY.astype(np.float32)
    array[0, 0] = value
    with pytest.raises(ClipkitError, match="nobody knows which is white"):
        nano.image_features([Image.fromarray(array)])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
def test_a_model_takes_every_mode_as_the_loader_does(tmp_path, nano, mode):
    base = PICTURE.convert("L")
    image = {
        "I;16": lambda: Image.fromarray(np.asarray(base, np.uint16) * 257),
        "I": lambda: base.convert("I"),
        "F": lambda: base.convert("F"),
        "PA": lambda: PICTURE.quantize(16).convert("PA"),
    }.get(mode, lambda: PICTURE.convert(mode))()
    torch.testing.assert_close(nano.image_features([image]), nano.image_features([to_rgb(image)]), rtol=0, atol=0)


def test_a_palette_with_transparency_warns_of_nothing(recwarn):
    palette = PICTURE.quantize(8)
    opaque = np.asarray(palette.convert("RGB"))
    palette.info["transparency"] = b"\x00\x10\xff"
    assert np.array_equal(np.asarray(to_rgb(palette)), opaque) and not len(recwarn)


@pytest.mark.parametrize("name", ["nano", "ViT-S-32-alt"])
def test_what_is_no_list_of_pictures_is_one_sentence(name):
    model = load_model(name, None if name == "nano" else "random", device="cpu")
    for wrong, words in (
        (PICTURE, r"write \[picture\] for one"),
        ("x.png", "pictures come opened, not as a path"),
        (["x.png"], r"not str; open it first: clipkit.datasets.file_images\(\['x.png'\]\)"),
        ([None], "not NoneType"),
        ([np.zeros((4, 4))], r"uint8 array \(H, W, 3\), got float64 \(4, 4\)"),
        (7, "not as int"),
        (iter([PICTURE]), "come as a list"),
    ):
        with pytest.raises(ClipkitError, match=words):
            model.image_features(wrong)


def test_lists_of_arrays_of_several_sizes_are_pictures(nano):
    arrays = [np.asarray(PICTURE), np.asarray(PICTURE.resize((50, 40)))]
    torch.testing.assert_close(nano.image_features(arrays), nano.image_features([Image.fromarray(a) for a in arrays]))


@pytest.mark.parametrize("gap", [None, float("nan"), 3, b"a cat", ["a cat"]])
def test_a_text_that_is_none_is_named(nano, gap):
    for read in (nano.text_features, nano.tokenize, as_texts, lambda texts: text_features(nano, texts)):
        with pytest.raises(ClipkitError, match=r"text 1 is .*texts come as a list of strings"):
            read(["a cat", gap])
    with pytest.raises(ClipkitError, match="not as float"):
        nano.text_features(float("nan"))
