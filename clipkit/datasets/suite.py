"""The task suite: eight tasks of the world (and real digits) that few-shot methods are judged on."""

from __future__ import annotations

from dataclasses import dataclass, field

from clipkit.errors import unknown

VEHICLES = ("car", "bus", "bicycle", "airplane", "boat", "rocket")


@dataclass(frozen=True)
class Task:
    """A classification task.

    Attributes:
        name: what the page calls it.
        dataset: a name of `load_dataset`.
        options: of its loader; the world's factor and knobs.
    """

    name: str
    dataset: str
    options: dict = field(default_factory=dict)

    def load(self, split: str = "test", root=None, **more):
        """The task's data set (see `load_dataset`)."""
        from clipkit.datasets.loading import load_dataset

        return load_dataset(self.dataset, split, root, **{**self.options, **more})


def world_suite(*names: str) -> tuple[Task, ...]:
    """The eight tasks, or those named, in this order. They go from what a small CLIP of the world knows well to what it has never seen.

    - category: 48 categories, all seven styles mixed. - sketch, blueprint: the same in one style.
    - colour_category: six vehicles in ten colours each, 60 classes. - texture: 4. - background: 8.
    - count: one to eight things of a kind. - digits: scans of handwritten digits, far from everything else.

    >>> [task.name for task in world_suite("digits", "count")]
    ['count', 'digits']

    Raises ClipkitError for an unknown name.
    """
    from clipkit.world import STYLES

    every = (
        Task("category", "world", {"factor": "category", "styles": STYLES}),
        Task("colour_category", "world", {"factor": "colour_category", "categories": VEHICLES}),
        Task("texture", "world", {"factor": "texture", "textured": 0.75}),
        Task("background", "world", {"factor": "background"}),
        Task("sketch", "world", {"factor": "category", "styles": ("sketch",)}),
        Task("blueprint", "world", {"factor": "category", "styles": ("blueprint",)}),
        Task("count", "world", {"factor": "count", "narrow": True, "max_objects": 8, "same_category": 1.0}),
        Task("digits", "digits", {}),
    )
    for name in names:
        if name not in {task.name for task in every}:
            raise unknown("task", name, [task.name for task in every])
    return tuple(task for task in every if not names or task.name in names)


def suite_of(dataset: str) -> tuple[Task, ...]:
    """The suite of a notebook's `dataset` parameter: `world_suite()` for "world", else that one data set."""
    return world_suite() if dataset == "world" else (Task(dataset.partition(":")[0], dataset),)
