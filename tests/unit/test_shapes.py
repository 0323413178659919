"""Learning shapes without labels: the losses by hand, the small tower, and that a little training tells objects apart."""

import math

import pytest
import torch
from torch import nn

from builder.recipes.cutouts import camera_batches, cutout_view
from builder.recipes.dino import contrast_loss
from builder.recipes.makers import save_nano
from builder.recipes.shapes import ShapeStudent, shape_losses, train_shapes
from clipkit.errors import ClipkitError
from clipkit.models import NanoEncoder, build_nano
from clipkit.models.nano import load_nano
from clipkit.models.smallconv import SmallConv
from clipkit.world import WorldSpec

CONFIG = {
    "name": "nano-shapes",
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "widths": [8, 12, 16], "strides": [2, 1]},
    "preprocess": {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3},
}


def test_contrast_by_hand():
    z = torch.eye(2).expand(2, 2, 2)  # both views of two pictures are the same unit vectors
    # Each view sees its twin (similarity 1) and two strangers (0): -log(e^5 / (e^5 + 2)).
    assert contrast_loss(z, temperature=0.2).item() == pytest.approx(math.log1p(2 * math.exp(-5)), rel=1e-5)
    torch.testing.assert_close(contrast_loss(torch.ones(2, 4, 1)), torch.tensor(math.log(7)))  # all alike: chance among 7


def test_shape_losses_are_finite_and_reach_the_tower():
    torch.manual_seed(0)
    student = ShapeStudent(nn.Linear(5, 12), 12, n_prototypes=8)
    features = student.tower(torch.randn(8, 5))
    parts = shape_losses(student, features, torch.rand(8, 256))
    assert set(parts) == {"views", "outlines"}
    sum(parts.values()).backward()
    assert student.tower.weight.grad.abs().sum() > 0 and all(torch.isfinite(v) for v in parts.values())


def test_small_tower_saves_loads_and_gives_dense_features(tmp_path):
    torch.manual_seed(0)
    save_nano(build_nano(CONFIG), CONFIG, {}, tmp_path)
    model = load_nano("nano-shapes", device="cpu", folder=tmp_path)
    x = torch.randn(3, 3, 32, 32)
    assert model.dense_features(x).shape == (3, 8, 8, 24)
    torch.testing.assert_close(model.encode_image(x).norm(dim=-1), torch.ones(3))
    with pytest.raises(ClipkitError, match="no attention layers"):
        model.attention(x)
    with pytest.raises(ClipkitError, match="without a text tower"):
        model.text_features(["a"])


def test_dense_features_are_what_the_tower_pools():
    tower = SmallConv(24, [8, 12, 16], [2, 1]).eval()
    x = torch.randn(2, 3, 32, 32)
    cells = tower.dense(x).permute(0, 3, 1, 2)  # (B, D, 8, 8)
    pooled = nn.functional.avg_pool2d(cells, 2).flatten(1)
    torch.testing.assert_close(tower.proj(pooled), tower(x))
    with pytest.raises(ClipkitError, match="one stride a block"):
        SmallConv(24, [8, 12], [2, 1])


SPEC = WorldSpec(max_objects=1, sizes=("large",), textured=0.0, rotate=False)


def fresh():
    torch.manual_seed(0)
    return NanoEncoder(build_nano(CONFIG), CONFIG)


def trained(steps):
    model = fresh()
    batches = camera_batches(model, [(SPEC, 1.0)], steps, 24, seed=0, chunk=2048)
    tower, history = train_shapes(model.module.visual, 24, batches, steps, momentum=0.5, easy=1000.0, lr=3e-3, weight_decay=0.05)
    model.module.visual = tower
    return model, history


def test_a_little_training_finds_the_other_view():
    batch, g = next(camera_batches(fresh(), [(SPEC, 1.0)], 1, 48, seed=9, chunk=2048)), torch.Generator().manual_seed(0)
    views = [cutout_view(*batch, g, ease=1.0)[0] for _ in range(2)]  # the same objects in other colours

    def found(model):
        with torch.no_grad():
            a, b = (model.encode_image(v) for v in views)
        return ((a @ b.T).argmax(1) == torch.arange(48)).float().mean().item()

    before, after = found(fresh()), found(trained(200)[0])
    assert before < 0.2 and after > before + 0.2, (before, after)


def test_training_repeats():
    assert trained(3)[1].loss == trained(3)[1].loss
