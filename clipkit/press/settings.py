"""The site's few settings (book/site.yml) and the links made from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlparse

import yaml

from clipkit.errors import ClipkitError
from clipkit.paths import ROOT
from clipkit.registry.papers import Entry

BOOK = ROOT / "book"


@dataclass(frozen=True)
class Site:
    """Name, authors, and where the repository lives; every outside link is made from `repository` and `branch`."""

    title: str
    author: str
    repository: str
    branch: str

    @property
    def project(self) -> str:
        """`owner/name` of the repository."""
        return urlparse(self.repository).path.strip("/")

    def source(self, path: str) -> str:
        return f"{self.repository}/blob/{self.branch}/{path}"

    def colab(self, entry: Entry) -> str:
        return f"https://colab.research.google.com/github/{self.project}/blob/{self.branch}/{in_repository(entry)}"

    def binder(self, entry: Entry) -> str:
        return f"https://mybinder.org/v2/gh/{self.project}/{self.branch}?labpath={quote(in_repository(entry), safe='')}"


def in_repository(entry: Entry) -> str:
    """A notebook's path inside the repository."""
    return f"notebooks/{entry.part}/{entry.slug}.ipynb"


@lru_cache(maxsize=4)
def load_site(path: Path = BOOK / "site.yml") -> Site:
    """Read book/site.yml; ClipkitError when a setting is missing or unknown."""
    try:
        return Site(**yaml.safe_load(path.read_text(encoding="utf-8")))
    except (TypeError, OSError) as error:
        raise ClipkitError(f"{path.name} needs title, author, repository and branch: {error}") from error
