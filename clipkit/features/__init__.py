"""Features of a data set: extracted once, kept in shards with a manifest of content hashes, resumed after a kill.

    features = extract(load_model("nano"), load_dataset("digits"))
    features.image, features.labels        # (N, D) float32, (N,) int64
    weights = text_features(model, ["a photo of a cat.", ...])

The cache is keyed by content (weights, preprocessing, images), so a wrong hit cannot happen by name.
"""

from __future__ import annotations

from clipkit.features.extract import Features, extract
from clipkit.features.store import FeatureStore
from clipkit.features.text import text_features

__all__ = ["FeatureStore", "Features", "extract", "text_features"]
