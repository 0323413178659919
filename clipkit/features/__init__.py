"""Features of a data set: extracted once, kept in shards with a manifest of content hashes, resumed after a kill.

    features = extract(load_model("nano"), load_dataset("digits"))
    features.image, features.labels        # (N, D) float32, (N,) int64
    weights = text_features(model, ["a photo of a cat.", ...])

The cache is keyed by content (weights, preprocessing, images), so a wrong hit cannot happen by name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "extraction": ["Features", "extract"],
        "store": ["FeatureStore"],
        "text": ["text_features"],
    },
)
