"""Watching a contrastive training: the loss of every step, and now and then a look at held-out pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.pretrain.geometry import alignment, modality_gap, uniformity

if TYPE_CHECKING:
    import pandas


def pair_features(model, dataset) -> tuple[Tensor, Tensor]:
    """(N, D) features of the pictures and (N, D) of their first captions, unit norm, on the CPU.

    Raises: ClipkitError when the data set has no captions.
    """
    if dataset.captions is None:
        raise ClipkitError(f"pairs need captions, and {dataset.name} has none; take a data set with captions, such as world or photos")
    return model.image_features(dataset.images), model.text_features([captions[0] for captions in dataset.captions])


def look(model, dataset) -> dict:
    """Zero-shot accuracy (percent, among the data set's own names, all templates) and geometry of its pairs.

    Returns: accuracy, gap, alignment, uniformity (mean of the two clouds'), and `features`, the pair of (N, D) tensors.
    Raises: ClipkitError without captions or labels.
    """
    from clipkit.zeroshot import zeroshot_weights

    if dataset.labels is None:
        raise ClipkitError(f"zero-shot accuracy needs labels, and {dataset.name} has none here")
    v, t = pair_features(model, dataset)
    guess = (v @ zeroshot_weights(model, dataset.classnames, dataset.templates).cpu().T).argmax(1)
    return {
        "accuracy": 100 * float((guess.numpy() == dataset.labels).mean()),
        "gap": modality_gap(v, t).item(),
        "alignment": alignment(v, t).item(),
        "uniformity": (uniformity(v).item() + uniformity(t).item()) / 2,
        "features": (v, t),
    }


class Diary:
    """Give it to `train` as `after_step`: it looks at `dataset` before the first step and `entries` times on the way.

    Args: steps: of the whole training; the last look is after the last of them. batch: pairs a step.

    Attributes: loss (one number a step); looks (list of `look`'s dictionaries, with `pairs` seen so far).
    """

    def __init__(self, model, dataset, steps: int, batch: int, entries: int = 8):
        if not 1 <= entries <= steps:
            raise ClipkitError(f"a diary of {steps} steps has 1 to {steps} entries, not {entries}")
        self.model, self.dataset, self.batch = model, dataset, batch
        self.when = {round(steps * (i + 1) / entries) for i in range(entries)}
        self.loss: list[float] = []
        self.looks: list[dict] = []
        self._write()

    def _write(self) -> None:
        self.looks.append({"pairs": len(self.loss) * self.batch, **look(self.model, self.dataset)})

    def __call__(self, step: int, module: nn.Module, value: float) -> None:
        self.loss.append(value)
        if step + 1 in self.when:
            training = module.training
            module.eval()
            self._write()
            module.train(training)

    @property
    def table(self) -> pandas.DataFrame:
        """A row a look: pairs, accuracy, gap, alignment, uniformity."""
        import pandas

        return pandas.DataFrame([{name: value for name, value in row.items() if name != "features"} for row in self.looks])
