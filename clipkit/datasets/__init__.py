"""Images with labels, captions, class names and prompt templates, from the world, from packages, or from one's own disk.

    load_dataset("world", n=512, factor="colour")
    load_dataset("folder:../photos", split="train", n=160)

`Dataset` is what comes back. Images that cannot be decoded are left out and counted (`readable=False` leaves them in, to raise
`UnreadableImage`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Dataset", "choose", "stratified_split"],
        "images": ["ArrayImages", "LazyImages", "UnreadableImage", "file_images"],
        "leaks": ["shared_images", "warn_of_shared"],
        "loading": ["dataset_names", "load_dataset"],
        "suite": ["Task", "suite_of", "world_suite"],
        "templates": ["fill_templates", "openai_templates"],
    },
)
