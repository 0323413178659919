"""Class names as a prompt wants them."""

from __future__ import annotations

import re

_WNID = re.compile(r"^n\d{8}[_\- ]+(?=\S)")  # WordNet's id in front of an ImageNet folder's name


def readable(folder: str) -> str:
    """A folder's name as words: underscores to spaces, a WordNet id in front dropped.

    >>> readable("n02109047_Great_Dane"), readable("hot__dog"), readable("n02109047")
    ('Great Dane', 'hot dog', 'n02109047')
    """
    return " ".join(_WNID.sub("", folder).replace("_", " ").split())
