"""Scenes that there is something to write about."""

from __future__ import annotations

from clipkit.world import WorldSpec, sample_scenes

DOCUMENTS = WorldSpec(min_objects=2, max_objects=4)


def documents(n: int, seed: int, spec: WorldSpec = DOCUMENTS):
    """n scenes of two to four objects: what the texts of this room are about."""
    return sample_scenes(spec, n, seed=seed)
