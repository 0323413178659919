"""A class token that looks at a part of the picture: the whole picture is the tower's own output, a part hides the rest."""

from __future__ import annotations

import pytest
import torch

from builder.recipes.regional import region_batches, region_features, regional_loss
from clipkit import load_model


@pytest.fixture(scope="module")
def local():
    return load_model("nano-local", device="cpu").freeze()


def test_all_patches_are_the_towers_own_output(local):
    x = torch.randn(2, 3, 32, 32)
    regions = torch.ones(2, 3, 8, 8, dtype=torch.bool)
    found = region_features(local.module.visual, x, regions)
    torch.testing.assert_close(found[:, 1], local.module.visual(x), rtol=0, atol=1e-4)


def test_only_seen_patches_are_weighed(local):
    visual, x = local.module.visual, torch.randn(1, 3, 32, 32)
    left = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    left[..., :4] = True

    def changed(module, args, output):
        noise = 5 * torch.randn_like(output)
        return output + noise * hidden

    hidden = torch.cat([torch.zeros(1), (~left).flatten().float()])[None, :, None]
    one = region_features(visual, x, left)
    handle = visual.transformer.resblocks[-1].ln_1.register_forward_hook(changed)
    other, whole = region_features(visual, x, left), region_features(visual, x, torch.ones_like(left))
    handle.remove()
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert not torch.allclose(one, whole, atol=0.01)


def test_batches_hold_the_whole_and_parts_of_it():
    teacher = load_model("nano", device="cpu").freeze()
    pixels, regions, target = next(region_batches(teacher, 4, 0, each=2))
    assert pixels.shape == (4, 3, 32, 32) and regions.shape == (4, 3, 8, 8) and target.shape == (4, 3, 128)
    assert regions[:, 0].all() and (regions[:, 1:].sum((2, 3)) < 26).all()
    torch.testing.assert_close(target.norm(dim=-1), torch.ones(4, 3))
    torch.testing.assert_close(target[:, 0], teacher.encode_image(pixels), rtol=0, atol=0.05)  # the teacher runs in bfloat16 there


def test_the_trained_tower_says_what_the_teacher_says_of_parts(local):
    teacher = load_model("nano", device="cpu").freeze()
    batch = next(region_batches(teacher, 16, 77))
    with torch.no_grad():
        trained, before = (regional_loss(m.module.visual, batch).item() for m in (local, teacher))
    assert trained < 0.25 < before
