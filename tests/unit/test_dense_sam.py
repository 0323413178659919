"""The adapter of the real SAM, on a tiny SAM with random weights: the same numbers as asking `transformers` itself."""

from __future__ import annotations

import pytest
import torch

from clipkit import load_model
from clipkit.compat import ensure_torchvision
from clipkit.dense import Pipeline, ScenePictures, colour_features, filtered_affinity, refine, text_classifier
from clipkit.dense.sam import MASK_FACTOR, HuggingFaceSam, load_sam
from clipkit.errors import ClipkitError
from clipkit.studies.trident import prompted_iou

ensure_torchvision()  # transformers imports it
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    vision = {"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8}
    vision |= {"window_size": 4, "global_attn_indexes": [1], "mlp_dim": 32, "num_pos_feats": 8}
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4}
    mask = {"hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
    config._attn_implementation = config.vision_config._attn_implementation = "eager"
    return transformers.SamModel(config).eval()


def test_masks_are_those_of_transformers(tiny):
    sam, pixels = HuggingFaceSam(tiny), torch.rand(2, 3, 32, 32)
    e = sam.encode(pixels)
    assert e.grid == (8, 8) and e.attention.shape == (2, 2, 64, 64) and e.values.shape == (2, 2, 64, 8)
    torch.testing.assert_close(e.attention.sum(-1), torch.ones(2, 2, 64))
    boxes, points, masks = torch.tensor([[2.0, 3, 20, 25]]), torch.tensor([[9.0, 11]]), torch.rand(1, 8, 8)
    logits, iou = sam.decode(e, torch.tensor([1]), boxes, points, masks)
    big = torch.nn.functional.interpolate(pixels[1:], size=(64, 64), mode="bilinear", antialias=True)
    coarse = torch.nn.functional.interpolate(masks[:, None], size=(32, 32), mode="bilinear")
    with torch.no_grad():
        theirs = tiny(
            pixel_values=(big - sam.mean) / sam.std,
            input_points=(2 * points)[:, None, None],
            input_labels=torch.ones(1, 1, 1, dtype=torch.int64),
            input_boxes=(2 * boxes)[:, None],
            input_masks=MASK_FACTOR * torch.where(coarse > 0.5, coarse, 0),
            multimask_output=False,
        )
    torch.testing.assert_close(logits[0], theirs.pred_masks[0, 0, 0], rtol=0, atol=1e-5)
    assert iou.item() == pytest.approx(theirs.iou_scores.item(), abs=1e-5) or not 0 <= theirs.iou_scores.item() <= 1


def test_values_mixed_by_attention_are_the_layers_output(tiny):
    sam = HuggingFaceSam(tiny)
    attn, seen = tiny.vision_encoder.layers[-1].attn, []
    handle = attn.register_forward_hook(lambda module, args, output: seen.append(output[0] if isinstance(output, tuple) else output))
    e = sam.encode(torch.rand(1, 3, 64, 64))
    handle.remove()
    mixed = (e.attention @ e.values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attn.proj(mixed).reshape(seen[0].shape), seen[0], rtol=0, atol=1e-5)


def test_a_wide_picture_is_cut_to_what_it_fills(tiny):
    e = HuggingFaceSam(tiny).encode(torch.rand(1, 3, 16, 32))
    assert e.grid == (4, 8) and e.attention.shape[-1] == 32
    affinity = filtered_affinity(e.attention, e.values)
    torch.testing.assert_close(affinity.sum(-1), torch.ones(1, 32))


def test_it_refines(tiny):
    labels = torch.zeros(1, 32, 32, dtype=torch.int64)
    labels[0, 8:20, 8:20] = 1
    p = torch.nn.functional.one_hot(labels, 2).movedim(-1, 1) * 0.8 + 0.1
    found = refine(HuggingFaceSam(tiny), torch.rand(1, 3, 32, 32), labels, p, iou_thresh=-1, minimal_area=4)
    assert found.labels.shape == (1, 32, 32) and found.accepted.all() and len(found.accepted) == 2


def test_a_saved_one_can_be_loaded_and_others_are_refused(tiny, tmp_path):
    tiny.save_pretrained(tmp_path / "sam")
    sam, x = load_sam(tmp_path / "sam", device="cpu"), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(sam.encode(x).features, HuggingFaceSam(tiny).encode(x).features)
    with pytest.raises(ClipkitError, match="no config.json"):
        load_sam(tmp_path)
    with pytest.raises(ClipkitError, match="SAM takes pixels"):
        sam.encode(torch.rand(3, 32, 32))


def test_the_page_spreads_and_refines_with_it(tiny):
    sam, nano = HuggingFaceSam(tiny), load_model("nano", device="cpu").freeze()
    labels = (torch.arange(48) >= 20).long().expand(1, 32, 48)
    picture = ScenePictures(torch.rand(1, 3, 32, 48), labels, labels)
    pipeline = Pipeline(nano, colour_features, sam, *text_classifier(nano, ["sky", "cat"], ["a {}"]), lambda x: x)
    found = pipeline.cosines(picture, {"full": ("guide", "vectors", "segmenter"), "plain": ("guide", "vectors")})
    cells = sam.encode(picture.pixels).grid
    assert found["full"].shape == (1, 2, *cells) and cells == (5, 8) and found["plain"].shape == (1, 2, 32, 48)
    assert all(0 <= value <= 100 for value in prompted_iou(sam, [picture]).values())
