"""`cast:bf16:NAME`: the model NAME with weights and arithmetic of another precision; `-p precision bf16` of a page writes it."""

from __future__ import annotations

from clipkit.models import DualEncoder, load_model
from clipkit.notices import notice


def load(name: str, pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> DualEncoder:
    """The model in the precision that its name says: fp32, bf16 or fp16. Raises ClipkitError as `load_model` does."""
    said, _, inner = name.partition(":")[2].partition(":")
    model = load_model(inner, pretrained, device, said)
    if said != "fp32" and model.device.type == "cpu":
        notice(f"{model.name}: {said} on a processor is several times slower than fp32")
    return model
