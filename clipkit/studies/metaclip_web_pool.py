"""A small web of the world: pictures of a long-tailed world with alt-texts, and the metadata list to curate them by."""

from __future__ import annotations

from collections.abc import Sequence

from clipkit.errors import ClipkitError
from clipkit.features.crawls import Crawl
from clipkit.pretrain.metadata import NUMBERS, bound_pairs, frequent_words, metadata_list

SHARES = (0.7, 0.2, 0.1)  # how often a category goes by its own name and by its two synonyms
CLEAN = ("detailed", "rewrite", "synonym", "hypernym")  # registers of the text that stands for an encyclopaedia


def web_pool(n: int, seed: int, zipf: float = 1.2, junk: float = 0.3, other: float = 0.1) -> Crawl:
    """n pictures of one object each, with one text found beside each, and what the text speaks of.

    Args:
        zipf: exponent of the categories' frequencies. junk: share of texts that say nothing of any picture.
        other: share in which a category's name means something else ("press conference"), or that speak of something unseen.

    Raises: ClipkitError for n below 1, or shares that are none.
    """
    from clipkit.world import NAMES, WorldSpec, crawl, sample_scenes

    if n < 1:
        raise ClipkitError(f"a pool needs at least one text, got n = {n}")
    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=1, zipf=zipf), n, seed)
    usage = {category: dict(zip(names, SHARES, strict=True)) for category, names in NAMES.items()}
    made = crawl(scenes, usage, seed, other=other, noise=junk)
    return Crawl(made.captions, made.spoken, scenes)


def world_metadata(n: int = 3000, seed: int = 2**31, least: int = 20, pmi: float = 6.0, extra: Sequence[str] = ()) -> list[str]:
    """A metadata list for the world, from the same kinds of sources as the paper's.

    A lexicon (names, synonyms and kinds of things, colours, places: WordNet's part), words and bound pairs of words of n clean
    sentences about other scenes (Wikipedia's part), the numbers 0 to 99, and names in nine other languages, which no text
    of the pool holds unless by chance: most of the paper's entries match little or nothing either. `extra` is put at the end.

    Args: n: clean sentences of each of four registers. seed: of their scenes. least: times a word occurs. pmi: bits of a pair.
    """
    from clipkit.world import BACKGROUNDS, COLOURS, HYPERNYMS, LANGUAGES, NAMES, SIZES, TEXTURES, WorldSpec, caption_batch, sample_scenes

    scenes = sample_scenes(WorldSpec(), n, seed)
    clean = [text for register in CLEAN for text in caption_batch(scenes, register, seed=seed)]
    lexicon = [*(name for names in NAMES.values() for name in names), *HYPERNYMS.values(), *COLOURS, *BACKGROUNDS, *TEXTURES, *SIZES]
    foreign = [name for language in LANGUAGES if language != "en" for name in caption_batch(scenes[:400], "name", seed, language)]
    return metadata_list(lexicon, frequent_words(clean, least), bound_pairs(clean, pmi, least), NUMBERS, sorted(set(foreign)), extra)
