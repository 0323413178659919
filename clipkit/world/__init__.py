"""The world: pictures, captions and masks whose every cause is known.

    spec = WorldSpec(max_objects=2)
    scenes = sample_scenes(spec, 100, seed=0)
    pictures = render(scenes, size=64, masks=True)
    captions = caption_batch(scenes, "detailed")

A name imports the file it lives in when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attributes": ["Attributes", "category_attributes"],
        "caption_parser": ["check", "fidelity", "parse"],
        "captions": ["REGISTERS", "caption", "caption_batch"],
        "conflict": ["cue_conflicts"],
        "corpus": ["Corpus", "NAMES", "crawl", "name_shares", "other_meanings", "spellings"],
        "drawing": ["describe", "draw_texts"],
        "image_corruptions": ["CORRUPTIONS", "corrupt"],
        "languages": ["LANGUAGES"],
        "numerosity": ["count_scenes", "hull_area"],
        "prompts": ["CLASS_TEMPLATES", "classnames", "fill"],
        "propositions": ["entities", "facts", "graded"],
        "question_answers": ["Question", "batch_questions", "figure_question", "questions"],
        "regions": ["dense_regions"],
        "rendering": ["Rendered", "render"],
        "sample": ["category_probabilities", "sample_scenes", "single_objects"],
        "scene": ["Object", "Scene", "Scenes", "relations"],
        "spec": ["WorldSpec"],
        "taxonomy": [
            "BACKGROUNDS",
            "CATEGORIES",
            "COLOURS",
            "HOME",
            "HYPERNYMS",
            "SIZES",
            "STUFF",
            "STYLES",
            "SUPERCLASSES",
            "SUPERCLASS_OF",
            "TEXTURES",
        ],
        "truth": ["counts", "depth_map", "gatherings", "occlude", "without"],
        "video": ["Clip", "VideoSpec", "sample_clips", "tone_track"],
    },
)
