"""The world: pictures, captions and masks whose every cause is known.

    spec = WorldSpec(max_objects=2)
    scenes = sample_scenes(spec, 100, seed=0)
    pictures = render(scenes, size=64, masks=True)
    captions = caption_batch(scenes, "detailed")

A name imports the file it lives in when it is first asked for.
"""

from __future__ import annotations

from clipkit.lazy import exports

_HOME = {
    "taxonomy": "BACKGROUNDS CATEGORIES COLOURS HOME HYPERNYMS SIZES STUFF STYLES SUPERCLASSES SUPERCLASS_OF TEXTURES",
    "spec": "WorldSpec",
    "scene": "Object Scene Scenes relations",
    "sample": "category_probabilities sample_scenes single_objects",
    "rendering": "Rendered render",
    "sprites": "part_names",
    "styles": "apply_style",
    "corruptions": "CORRUPTIONS corrupt",
    "truth": "counts crowds cut_out depth_map object_crops occlude without",
    "defects": "DEFECTS plant_defects",
    "conflict": "cue_conflicts",
    "video": "Clip VideoSpec sample_clips tone_track",
    "captions": "REGISTERS caption caption_batch",
    "languages": "LANGUAGES",
    "corpus": "Corpus NAMES crawl name_shares other_meanings spellings",
    "attributes": "Attributes category_attributes",
    "prompts": "CLASS_TEMPLATES classnames fill",
    "asking": "Question batch_questions figure_question questions",
    "statements": "entities facts graded",
    "reading": "check fidelity parse",
    "drawing": "describe draw_texts",
    "regions": "dense_regions",
    "pairs": "PAIR_KINDS count_captions minimal_pairs",
}
__getattr__, __all__ = exports(__name__, _HOME)
