"""Dense: a vector for each patch, labels for each pixel, and how good the maps are."""

from __future__ import annotations

from clipkit.dense.affinity import aggregate, filtered_affinity, label_affinity
from clipkit.dense.attention import MODES, Mode, custom_attention, neighbourhood
from clipkit.dense.metrics import IoU, boundary_iou, class_prior, confusion, harmonic, iou_of, mean_iou, patch_oracle
from clipkit.dense.patches import dense_features, project, value_maps
from clipkit.dense.proxy import colour_features, proxy_attention, proxy_matrix
from clipkit.dense.refine import PromptableSegmenter, find_regions, refine
from clipkit.dense.sam import HuggingFaceSam, load_sam
from clipkit.dense.segmenter import Segmenter
from clipkit.dense.smoothing import colour_smoothing
from clipkit.dense.text import cosines, group_max, segment, text_classifier
from clipkit.dense.trident import Windowed, trident, window_maps
from clipkit.dense.windows import slide, splice, windows

__all__ = [
    "HuggingFaceSam",
    "IoU",
    "MODES",
    "Mode",
    "PromptableSegmenter",
    "Segmenter",
    "Windowed",
    "aggregate",
    "boundary_iou",
    "class_prior",
    "colour_features",
    "colour_smoothing",
    "confusion",
    "cosines",
    "custom_attention",
    "dense_features",
    "filtered_affinity",
    "find_regions",
    "group_max",
    "harmonic",
    "iou_of",
    "label_affinity",
    "load_sam",
    "mean_iou",
    "neighbourhood",
    "patch_oracle",
    "project",
    "proxy_attention",
    "proxy_matrix",
    "refine",
    "segment",
    "slide",
    "splice",
    "text_classifier",
    "trident",
    "value_maps",
    "window_maps",
    "windows",
]
