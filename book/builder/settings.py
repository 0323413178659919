"""The site's few settings (book/site.yml), the repository's address, and the links made from them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlparse

import yaml

from builder import ROOT
from clipkit.errors import ClipkitError
from clipkit.registry.papers import Entry

BOOK = ROOT / "book"


@dataclass(frozen=True)
class Site:
    """Name, authors, and where the repository lives; every link into it is made from `repository` and `branch`."""

    title: str
    author: str
    repository: str | None = None  # https://host/owner/name
    branch: str = "main"

    def links(self, entry: Entry) -> dict[str, str]:
        """Text -> address of a page's links into the repository; none without one, Colab and Binder for GitHub only."""
        if self.repository is None:
            return {}
        host, project, path = urlparse(self.repository).hostname, urlparse(self.repository).path.strip("/"), in_repository(entry)
        found = {"source": f"{self.repository}/blob/{self.branch}/{path}"}
        if host == "github.com":
            colab = f"https://colab.research.google.com/github/{project}/blob/{self.branch}/{path}"
            binder = f"https://mybinder.org/v2/gh/{project}/{self.branch}?labpath={quote(path, safe='')}"
            found = {"Colab": colab, "Binder": binder, **found}
        return found


def in_repository(entry: Entry) -> str:
    """A notebook's path inside the repository."""
    return f"notebooks/{entry.part}/{entry.slug}.ipynb"


@lru_cache(maxsize=4)
def load_site(path: Path = BOOK / "site.yml") -> Site:
    """Read book/site.yml; a repository it does not name is that of git's remote `origin`, if there is one.

    Raises ClipkitError when a setting is missing or unknown.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
        named = given.pop("repository", None)
        site = Site(**given, repository=web_address(named or origin(path.parent)))
    except (TypeError, AttributeError, OSError) as error:
        raise ClipkitError(f"{path.name} needs title and author, and may have repository and branch: {error}") from error
    if named and site.repository is None:
        raise ClipkitError(f"{path.name}: repository {named!r} is no address on the web; write https://HOST/OWNER/NAME, or leave it out")
    return site


def origin(folder: Path) -> str | None:
    """The address of git's remote `origin` for the repository that `folder` is in; None without git, repository or remote."""
    try:
        done = subprocess.run(["git", "remote", "get-url", "origin"], cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def web_address(remote: str | None) -> str | None:
    """The page a browser opens for a repository, or None for one that has none (a folder, a machine without a name).

    >>> web_address("git@github.com:me/book.git"), web_address("https://me:secret@gitlab.com/me/book.git/")
    ('https://github.com/me/book', 'https://gitlab.com/me/book')
    >>> web_address("/srv/book.git"), web_address("file:///srv/book.git"), web_address("http://localhost:3000/me/book")
    (None, None, None)
    """
    pattern = (
        r"(?:https?://|ssh://|git://)?(?:[^@/]*@)?(?P<host>[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,})(?::\d+/|[:/])(?P<project>.+?)(?:\.git)?/*"
    )
    found = re.fullmatch(pattern, remote or "")
    return f"https://{found['host']}/{found['project'].strip('/')}" if found else None
