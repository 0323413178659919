"""The page on CLIP-EBC: crowds with dots, frozen maps of their blocks, heads trained on them, rivals that count without blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.datasets.dots import DottedPictures, dotted_photographs, dotted_scenes
from clipkit.dealing import dealt
from clipkit.dense import blockwise
from clipkit.dense.density import block_counts, blurred_counts
from clipkit.dense.patches import block_maps
from clipkit.dense.transport import dm_count_loss
from clipkit.kept import remembered
from clipkit.metrics import percent_right
from clipkit.train import shuffled, train

SIDE, BLOCK, SUB = 128, 16, 2  # pixels of a picture's shorter side and of a block; cells of a block's side that a head sees
OFFICIAL_BLOCK = 8  # pixels: distances of the transport are measured as if a block had the released code's side
UNRELATED = ("The bank opens at nine.", "He reads a long letter.", "Rain fell all night.", "Our train was late.", "She plays the piano.")
UNRELATED += ("Bread is in the oven.", "They sold the house.", "It is a quiet street.", "I forgot my keys.")
LOOKS = 4  # how often a training is looked at
LEAST_ERROR = 0.05  # objects: a smaller error counts as this, so that its logarithm exists


@dataclass(eq=False)
class Crowd:
    """Pictures with dots, H and W multiples of `BLOCK`, and the model that encodes them."""

    data: DottedPictures
    model: object

    def __post_init__(self):
        self.size = self.data.pictures.shape[1:3]
        self.dots = [torch.from_numpy(points) for points in self.data.dots]
        self.counts = block_counts(self.dots, self.size, BLOCK)  # (N, h, w) int64
        self.totals = self.counts.sum((1, 2)).double().numpy()  # (N,)

    @cached_property
    def fingerprint(self) -> str:
        """Of pictures, dots and model."""
        return f"{self.data.fingerprint} {self.model.fingerprint}"

    @cached_property
    def maps(self) -> Tensor:
        """(N, 4 C, h, w) float32, see `block_maps`."""
        return _maps(self.model, self.data.pictures)


@remembered(3)
def _maps(model, pictures: np.ndarray) -> Tensor:
    return block_maps(model, pictures, BLOCK, SUB)


def load(clip, dataset: str, seed: int, sizes: Mapping[str, int], kind: str | None = None) -> dict[str, Crowd]:
    """A seed's crowds "train" and "test", and in the world "denser", more crowded than any to train on.

    A folder's halves: one for training, the same for every seed; of the other each seed of a run has a part of its own.
    """
    if dataset == "world":
        parts = {split: (sizes[split], (81, 120) if split == "denser" else (0, 80)) for split in ("train", "test", "denser")}
        found = {split: dotted_scenes(split, n, seed, count, SIDE) for split, (n, count) in parts.items()}
    else:
        train, test = dotted_photographs(dataset, kind).halves()
        parts = {"train": (train, np.arange(len(train))), "test": (test, dealt(len(test), seed))}
        found = {split: half.subset(rows[: sizes[split]]).at(SIDE, BLOCK) for split, (half, rows) in parts.items()}
    return {split: Crowd(data, clip) for split, data in found.items()}


def class_codes(clip, n: int, noun: str, seed: int) -> dict[str, Tensor]:
    """What may stand for each of the bins 0, 1, ... n: sentences, the same on wrong bins, others, orthogonal vectors; (K, D) each."""
    dice, d = torch.Generator().manual_seed(seed), clip.embed_dim
    text = clip.text_features(blockwise.count_sentences(blockwise.count_bins(n), noun)).float()
    order, wrong = torch.randperm(n + 1, generator=dice), torch.empty(n + 1, dtype=torch.int64)
    wrong[order.roll(1)] = order  # one cycle: no sentence stays where it was
    orthogonal = torch.linalg.qr(torch.randn(d, d, generator=dice))[0]
    return {"text": text, "permuted": text[wrong], "unrelated": clip.text_features(UNRELATED[: n + 1]).float(), "orthogonal": orthogonal}


@dataclass(frozen=True)
class Recipe:
    """How a head is trained.

    codes: a name of `class_codes`; None regresses. learn: whether they may change. n: the last bin. target: "dots"; "blurred", real-valued
    bins of `step`, Gaussians of `sigma` pixels; "rounded", whole bins, blurred numbers rounded. loss: "l1" or "dm", of a regression also
    "l2"; weight: of it beside the cross-entropy. steps, lr, batch: of the training; scale: e^τ at its start.
    """

    codes: str | None = "text"
    learn: bool = False
    n: int = 4
    target: str = "dots"
    loss: str = "l1"
    weight: float = 1.0
    sigma: float = 2.0
    step: float = 0.5
    steps: int = 150
    lr: float = 5e-3
    batch: int = 16
    scale: float = 50.0


class Regressor(nn.Module):
    """The same decoder with one positive number a block in the place of classes."""

    def __init__(self, channels: int):
        super().__init__()
        self.decoder = blockwise.ResidualDecoder(channels, 1)

    def forward(self, maps: Tensor) -> tuple[None, Tensor]:
        return None, F.softplus(self.decoder(maps)[:, 0])


def train_head(own: Crowd, test: Crowd, denser: Crowd | None, recipe: Recipe, codes: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Train on `own`, count in the others: {"test", "denser": densities (N, h, w), "bins": probabilities of the test blocks
    (N, K, h, w), "curve": mean absolute error on `test` after each `LOOKS`-th of the training}."""
    torch.manual_seed(seed)
    mean, std = own.maps.mean((0, 2, 3), keepdim=True), own.maps.std((0, 2, 3), keepdim=True) + 1e-5
    x, seen = (own.maps - mean) / std, (test.maps - mean) / std
    bins = blockwise.real_bins(recipe.n, recipe.step) if recipe.target == "blurred" else blockwise.count_bins(recipe.n)
    targets = own.counts.float()
    if recipe.target != "dots":
        targets = blurred_counts(own.dots, own.size, BLOCK, recipe.sigma)
        targets = targets if recipe.target == "blurred" else targets.round()
    near = [points * OFFICIAL_BLOCK / BLOCK for points in own.dots]
    head = Regressor(x.shape[1])
    if recipe.codes is not None:
        anchors = blockwise.anchor_points(targets, bins)
        head = blockwise.BlockwiseCounter(x.shape[1], anchors, codes[recipe.codes][: len(bins)], recipe.learn, scale=recipe.scale)

    def loss(head: nn.Module, rows: Tensor) -> Tensor:
        logits, density = head(x[rows])
        truth, off = targets[rows], (density - targets[rows]).abs()
        dm = {"dots": [near[i] for i in rows], "reduction": OFFICIAL_BLOCK}
        if logits is not None:
            return blockwise.dace_loss(logits, density, truth, bins, recipe.loss, recipe.weight, **dm)["loss"]
        if recipe.loss == "dm":
            return dm_count_loss(density, truth, **dm)
        return (off ** {"l1": 1, "l2": 2}[recipe.loss]).sum((1, 2)).mean() + (density - truth).sum((1, 2)).abs().mean()

    curve, marks = [], {round(recipe.steps * (k + 1) / LOOKS) - 1 for k in range(LOOKS)}

    @torch.no_grad()
    def look(step: int, head: nn.Module, _: float) -> None:
        if step in marks:
            curve.append((head(seen)[1].sum((1, 2)) - test.counts.sum((1, 2))).abs().mean())

    order = shuffled(len(x), min(recipe.batch, len(x)), torch.Generator().manual_seed(seed), rest="carry")
    train(head, order, loss, recipe.steps, recipe.lr, weight_decay=1e-4, clip_norm=10.0, after_step=look)
    with torch.no_grad():
        logits, density = head(seen)
        found = {"test": density, "bins": torch.zeros(0) if logits is None else logits.softmax(1), "curve": torch.stack(curve)}
        return found | ({} if denser is None else {"denser": head((denser.maps - mean) / std)[1]})


def whole_picture_rivals(crowds: dict[str, Crowd]) -> dict[str, dict[str, np.ndarray]]:
    """Counts without blocks, {arm: {split: (N,)}}: the mean of the training counts; ridge regression (penalty by leaving one out) on the
    mean of the frozen map, on the area that stands out of the picture's median colour, on that and the number of connected blobs."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    own, found = crowds["train"], {"mean_count": {s: np.full(len(c.dots), crowds["train"].totals.mean()) for s, c in crowds.items()}}
    seen = {split: foreground(crowd.data.pictures) for split, crowd in crowds.items()}
    inputs = {"ridge_on_features": {s: c.maps.mean((2, 3)).double().numpy() for s, c in crowds.items()}}
    inputs |= {"area": {s: areas for s, (areas, _) in seen.items()}, "area_and_blobs": {s: np.hstack(both) for s, both in seen.items()}}
    for arm, x in inputs.items():
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 17))).fit(x["train"], own.totals)
        found[arm] = {split: ridge.predict(rows).clip(min=0) for split, rows in x.items()}
    return found


def foreground(pictures: np.ndarray, levels: Sequence[int] = (16, 40, 80)) -> tuple[np.ndarray, np.ndarray]:
    """Shares of pixels farther than each level from their picture's median colour, and numbers of blobs of such pixels: (N, 3) each."""
    from scipy.ndimage import label

    away = np.abs(pictures.astype(np.int16) - np.median(pictures, axis=(1, 2), keepdims=True)).max(3)
    masks = [away > level for level in levels]
    return np.stack([m.mean((1, 2)) for m in masks], 1), np.array([[label(one)[1] for one in m] for m in masks], float).T


def errors(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Of counts (N,): MAE and RMSE in objects, NAE in percent of the truth (pictures with objects), and 100 ln MAE."""
    off, full = np.abs(found - truth), truth > 0
    nae = 100 * float((off[full] / truth[full]).mean()) if full.any() else 0.0
    mae = float(off.mean())
    return {"MAE": mae, "RMSE": float(np.sqrt((off**2).mean())), "NAE": nae, "log": 100 * float(np.log(max(mae, LEAST_ERROR)))}


def add_quarters(scores, arm: str, values: np.ndarray, truth: np.ndarray) -> None:
    """Note the mean of values (N,) over each quarter of the pictures, 1 the emptiest, 4 the fullest."""
    for q, rows in enumerate(np.array_split(np.argsort(truth, kind="stable"), 4)):
        scores.add(arm, values[rows].mean(), quarter=q + 1)


def game(density: Tensor, counts: Tensor, level: int = 2) -> float:
    """GAME(L): the picture cut into 2^L × 2^L parts (as equal as blocks allow), |difference| summed over parts, mean over pictures."""
    rows, columns = ([len(part) for part in np.array_split(np.arange(n), min(2**level, n))] for n in counts.shape[1:])
    off = (density - counts).double()
    parts = [cell.sum((1, 2)).abs() for band in off.split(rows, dim=1) for cell in band.split(columns, dim=2)]
    return float(torch.stack(parts).sum(0).mean())


def number_known(clip, n: int, noun: str, seed: int) -> float:
    """Does the model itself know numbers? Percent right of n pictures of one to four large things of a kind, zero-shot, among the sentences
    "one", "two", "three", "four or more"; chance is 25."""
    from clipkit.datasets.world import stream
    from clipkit.world import WorldSpec, render, sample_scenes

    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=4, same_category=1.0), n, stream("numbers", seed))
    text = clip.text_features(blockwise.count_sentences(blockwise.count_bins(4), noun)[1:])
    image = clip.image_features(render(scenes, min(256, clip.image_size)).images)
    return percent_right(image @ text.T, torch.from_numpy((scenes.category >= 0).sum(1) - 1))


def draw_blocks(axes, picture: np.ndarray, numbers: Tensor, title: str) -> None:
    """A picture under the grid of its blocks, each block's number (h, w) written in it where it is not 0."""
    size = picture.shape[0] / len(numbers)
    axes.imshow(255 - (255 - picture) // 3)
    for edge in range(len(numbers) + 1):
        axes.axhline(edge * size - 0.5, color="0.4", linewidth=0.6)
    for edge in range(numbers.shape[1] + 1):
        axes.axvline(edge * size - 0.5, color="0.4", linewidth=0.6)
    for (row, column), number in np.ndenumerate(numbers.numpy()):
        if number >= 0.05:
            told = f"{number:.1f}" if numbers.is_floating_point() else str(number)
            axes.text((column + 0.5) * size - 0.5, (row + 0.5) * size - 0.5, told, ha="center", va="center", fontsize=10)
    axes.set_title(title, fontsize=11.5)
    axes.axis("off")
