"""Texts from pictures, and pictures from texts: captioners, and the world as a generator."""

from __future__ import annotations

from clipkit.generate.captioners import PHOTO_QUESTIONS, ProbeCaptioner, ReadoutCaptioner, photo_sentence
from clipkit.generate.drawn import (
    STYLE_SHIFTS,
    DomainTask,
    domain_pictures,
    domain_task,
    drawn_features,
    folder_task,
    style_captioner,
    world_sentence,
)

__all__ = [
    "PHOTO_QUESTIONS",
    "STYLE_SHIFTS",
    "DomainTask",
    "ProbeCaptioner",
    "ReadoutCaptioner",
    "domain_pictures",
    "domain_task",
    "drawn_features",
    "folder_task",
    "photo_sentence",
    "style_captioner",
    "world_sentence",
]
