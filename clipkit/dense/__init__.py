"""Dense: a vector for each patch, labels for each pixel, and how good the maps are."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "affinity": ["aggregate", "filtered_affinity", "label_affinity"],
        "attention": ["MODES", "Mode", "custom_attention", "neighbourhood"],
        "background": ["choose_offset", "miou_by_offset"],
        "blockwise": ["BlockwiseCounter", "anchor_points", "bin_classes", "count_bins", "count_sentences", "dace_loss", "real_bins"],
        "density": ["block_counts", "blurred_counts"],
        "metrics": ["IoU", "boundary_iou", "confusion", "iou_of", "mean_iou"],
        "patches": ["block_maps", "project", "value_maps"],
        "pipeline": ["ScenePictures", "Pipeline", "shrink"],
        "proxy": ["colour_features", "proxy_attention", "proxy_matrix"],
        "refinement": ["find_regions", "refine"],
        "sam": ["HuggingFaceSam", "load_sam"],
        "segmenter": ["Segmenter", "load_segmenter"],
        "smoothing": ["colour_smoothing", "smooth_labels"],
        "text": ["cosines", "group_max", "segment", "text_classifier"],
        "transport": ["dm_count_loss", "sinkhorn", "transport_loss"],
        "trident_windows": ["Windowed", "splice", "window_maps", "windows"],
    },
)
