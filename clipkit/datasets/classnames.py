"""Class names as a prompt wants them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from clipkit.notices import notice

_WNID = re.compile(r"n\d{8}(?!\d)")
_WNID_IN_FRONT = re.compile(r"^n\d{8}[_\- ]+(?=\S)")  # WordNet's id in front of an ImageNet folder's name
_NUMBER_IN_FRONT = re.compile(r"^\d+[_.\- ]+(?=[^\W\d_])")  # "001.", "02_", "03-" before a word; "747-400" is a name


def words(name: str) -> str:
    """Underscores to spaces, spaces trimmed: what two spellings of one class have in common.

    >>> words(" hot__dog")
    'hot dog'
    """
    return " ".join(name.replace("_", " ").split())


def readable(folder: str) -> str:
    """A folder's name as words: a number or a WordNet id in front dropped, underscores to spaces; a bare id by WordNet's word.

    >>> readable("n02109047_Great_Dane"), readable("hot__dog"), readable("001.Black_footed_Albatross"), readable("747-400")
    ('Great Dane', 'hot dog', 'Black footed Albatross', '747-400')
    """
    name = words(folder)
    if _WNID.fullmatch(name):
        return _lemmas().get(name, name)
    return words(_NUMBER_IN_FRONT.sub("", _WNID_IN_FRONT.sub("", folder.strip().lstrip("_"))))


def class_names(folders: Sequence[str], source: str) -> list[str]:
    """`readable` names of all classes of a data set, kept apart: where two would become one, numbers in front stay.

    Says what a prompt would stumble over: WordNet ids without a word, one name for two classes, names that differ only in capitals.

    >>> class_names(["1_euro", "2_euro", "50_cent"], "folder:coins")
    ['1 euro', '2 euro', '50 cent']
    """
    names = [readable(folder) for folder in folders]
    if len(set(names)) < len(names):
        names = [words(folder) if _NUMBER_IN_FRONT.match(folder) else name for folder, name in zip(folders, names, strict=True)]
    ids = [name for name in names if _WNID.fullmatch(name)]
    if ids:
        notice(
            f"{source}: {len(ids)} class names are WordNet ids, which mean nothing in a prompt, the first is {ids[0]}; rename the folders"
        )
    for first, second in _alike(names):
        how = "have the same name" if first == second else "differ only in capitals"
        notice(f"{source}: classes {first!r} and {second!r} {how} and count as two; rename one, or put them together")
    return names


def label_of_spelling(found: Iterable[str]) -> dict[str, int]:
    """Label of each spelling: classes are numbered in the order of their first spelling, spellings of the same words share a number.

    >>> label_of_spelling(["hot_dog", "cat", "hot dog "])
    {'cat': 0, 'hot dog ': 1, 'hot_dog': 1}
    """
    number: dict[str, int] = {}
    return {name: number.setdefault(words(name), len(number)) for name in sorted(set(found))}


def numbered(found: Iterable[str], source: str) -> tuple[dict[str, int], list[str]]:
    """(label of each spelling, C class names) of all labels of a data set: `label_of_spelling` and `class_names` together."""
    label = label_of_spelling(found)
    first = {number: spelling for spelling, number in reversed(label.items())}
    return label, class_names([first[number] for number in range(len(first))], source)


def _alike(names: Sequence[str]) -> list[tuple[str, str]]:
    pairs, seen = [], {}
    for name in names:
        if name.casefold() in seen:
            pairs.append((seen[name.casefold()], name))
        seen.setdefault(name.casefold(), name)
    return pairs


@lru_cache(1)
def _lemmas() -> dict[str, str]:
    """WordNet id -> its first word, from the table inside timm; empty without timm."""
    timm = importlib.util.find_spec("timm")
    table = None if timm is None or timm.origin is None else Path(timm.origin).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt"
    if table is None or not table.is_file():
        return {}
    rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
    return {row[0]: row[1].split(",")[0].strip() for row in rows if len(row) == 2}


def imagenet_names() -> list[str]:
    """The 1,000 class names packaged with open_clip, in the classifier's order."""
    from clipkit.compat import import_open_clip

    return list(import_open_clip().IMAGENET_CLASSNAMES)


def imagenet_glosses() -> list[str]:
    """The WordNet gloss of each class, packaged with timm."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [info.label_name_to_description(label, detailed=True).split(": ", 1)[-1] for label in info.label_names()]
