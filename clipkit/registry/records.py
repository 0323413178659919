"""Records: what a run measured, small enough to commit, in data/records/<slug>/<model>-<dataset>-<preset>-<identity>.json.

A notebook's claims table emits the measurements (`Report.payload`); `clipkit record` adds hashes, versions,
time and date and writes the file. A page and the ledger read them back, so numbers measured on another
machine, or on photographs that cannot be shared, stand beside the live ones. The same run recorded again overwrites its
record; another seed, another parameter, other files of the same name make another record beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from clipkit.errors import ClipkitError
from clipkit.paths import data_dir, record_dirs, writable, write_atomically
from clipkit.registry.claims import Text, what_is_wrong
from clipkit.registry.scores import Scores

VERSION = 3
SCALES = ("world", "digits", "text", "photographs", "real CLIP", "full")
Number = int | float


def _distinct(items: list) -> list:
    if len(set(items)) < len(items):
        raise ValueError("an item stands there twice")
    return items


class _Closed(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)


class RecordedVerdict(_Closed):
    """A claim as it was judged on the day; pages and ledger judge anew."""

    estimate: Number
    low: Number | None
    high: Number | None
    n: Annotated[int, Field(ge=1)]
    verdict: Text
    note: NotRequired[str]
    gates: NotRequired[list[dict[str, object]]]
    baseline: str | None
    method: NotRequired[Text]
    kind: NotRequired[Text]
    margin: NotRequired[Annotated[Number, Field(gt=0)]]
    unit: NotRequired[str]
    values: NotRequired[list[Number]]


class TiedTo(_Closed):
    """What a record is tied to: all definitions that the experiment reaches, sorted; checkpoint files, local files by parameter."""

    definitions: Annotated[list[Text], AfterValidator(_distinct)]
    registry: Text
    models: dict[str, Text]
    data: dict[str, Text]


class DataSource(_Closed):
    """A data set."""

    name: str | None
    fingerprint: str | None


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True))
class Record:
    """One recorded run; the fields are those of the file, `scores` (every arm at every seed) as a `Scores`."""

    slug: Annotated[str, Field(pattern="^[a-z0-9_]+$")]
    model: str | None
    pretrained: str | None
    dataset: DataSource
    scale: Literal[SCALES]
    preset: Text
    parameters: dict[str, object]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_distinct)]
    scores: Scores
    claims: dict[str, RecordedVerdict]
    hashes: TiedTo
    versions: dict[str, str]
    seconds: Annotated[Number, Field(ge=0)]
    peak_memory_mb: Annotated[Number, Field(ge=0)]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}")]
    skipped: dict[str, Text] = Field(default_factory=dict)
    notes: list[Text] = Field(default_factory=list)  # what the run said: skipped pictures, fewer than asked, assumptions
    device: Text = "cpu"
    commit: str | None = None  # of git, that holds the registry's entry as it was
    book: bool = False  # one of the book's own, which the ledger counts; a reader's own records stand apart
    version: Literal[VERSION] = VERSION

    @field_validator("scores", mode="before")
    @classmethod
    def _read_scores(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Scores) or "seeds" not in info.data:
            return value
        try:
            scores = Scores.from_dict(value, info.data["seeds"])
        except ClipkitError as error:
            raise ValueError(str(error)) from None
        if not len(scores):
            raise ValueError("it holds no number")
        return scores

    @classmethod
    def from_output(cls, payload: Mapping, **extra: object) -> Record:
        """A record from a notebook's structured output and what only the press knows: hashes, versions, seconds, date, commit, book."""
        known = {f.name for f in fields(cls)}
        measured = {name: value for name, value in payload.items() if name in known}
        return cls.from_dict({**measured, **extra}, "the notebook's output")

    @classmethod
    def from_dict(cls, content: Mapping, where: str = "record") -> Record:
        """Raises ClipkitError naming the place and the field."""
        content = json_ready(content, where)
        if content.get("version", VERSION) != VERSION:
            raise ClipkitError(
                f"{where} has the form of version {content['version']}, and this is version {VERSION}: record the page again"
            )
        try:
            return cls(**content)
        except ValidationError as error:
            raise ClipkitError(f"{what_is_wrong(error, where)}. Record the page again") from None

    @classmethod
    def read(cls, path: Path) -> Record:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ClipkitError(f"{path.name} is not JSON ({error}): delete it and record the page again") from None
        if not isinstance(content, dict):
            raise ClipkitError(f"{path.name} is not a record: delete it and record the page again")
        return cls.from_dict(content, f"records/{path.parent.name}/{path.name}")

    def to_dict(self) -> dict:
        """The fields as plain values, as `from_dict` takes them."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"scores": self.scores.to_dict()}

    @property
    def identity(self) -> str:
        """What tells two records of one model, data set and preset apart, as 8 hexadecimal digits.

        It is of every parameter that is set but the device, and of what is not part of the book: hashes of local files, the
        fingerprint of a data set from elsewhere. The book's own checkpoints and data leave it alone: with them a record goes stale.
        """
        parameters = {name: value for name, value in self.parameters.items() if name not in ("preset", "device") and value is not None}
        outside = self.hashes["data"] or (self.dataset["fingerprint"] if ":" in str(self.dataset["name"]) else None)
        return hashlib.sha256(json.dumps([parameters, outside], sort_keys=True).encode()).hexdigest()[:8]

    @property
    def said_model(self) -> str:
        """The model with its weights, for people; see `said_model`."""
        return said_model(self.model, self.pretrained)

    @property
    def file_name(self) -> str:
        """<model>-<dataset>-<preset>-<identity>.json, with the weights' tag when one was chosen.

        The identity is of the parameters and the fingerprints of what is the reader's own, so nothing else of these names is overwritten.
        """
        model = "_".join(filter(None, [self.model or "none", self.pretrained]))
        parts = (model, self.dataset["name"] or "none", self.preset, self.identity)
        return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part).strip("_.") for part in parts) + ".json"

    def write(self, root: Path | None = None) -> Path:
        """Write under `root` (default data/records); the file appears whole or not at all. Returns its path."""
        path = (root or data_dir() / "records") / self.slug / self.file_name
        writable(path.parent)
        write_json(path, json_ready(self.to_dict(), self.file_name))
        return path


def load_records(slug: str, root: Path | None = None) -> list[Record]:
    """All records of a page: the world first, then the rest, by file name."""
    found: dict[tuple[str, bool], Record] = {}
    for folder in [root] if root else record_dirs():
        for path in sorted((folder / slug).glob("*.json")):
            record = Record.read(path)
            found.setdefault((path.name, record.book), record)  # the same thing in two folders: that of the first
    return [found[key] for key in sorted(found, key=lambda key: (SCALES.index(found[key].scale), key))]


def said_model(model: str | None, pretrained: str | None = None) -> str:
    """A model for people: its name, and its weights where they were chosen; random ones are called untrained.

    Of the two that read photographs it is said what they are, so that neither is taken for a CLIP; and of vectors that they are.

    >>> said_model("nano"), said_model("lite"), said_model("RN50", "random"), said_model("features:x.npy")
    ('nano', 'lite: supervised stand-in', 'RN50 untrained', 'a real CLIP, its vectors only')
    """
    if (model or "").startswith("features:"):
        return "a real CLIP, its vectors only"
    weights = "untrained" if pretrained == "random" else pretrained
    model = {"lit": "lit: contrastive, locked towers", "lite": "lite: supervised stand-in"}.get(model, model) if not weights else model
    return " ".join(filter(None, [model, weights]))


def scale_of(dataset: str | None, model: str | None, pretrained: str | None = None) -> str:
    """Which of the ledger's scales a run is of, so that a small world is never sold as a replication, nor random weights as a model.

    >>> scale_of("world", "nano"), scale_of("cifar10", "lit"), scale_of("cifar10", "ViT-B-32"), scale_of("features:x.npy", "features:x.npy")
    ('world', 'photographs', 'full', 'real CLIP')
    """
    kind = re.split(r"[:\-_]", dataset or "world")[0]
    if kind == "features":  # finished vectors: a published model saw the pictures, and nothing but its output is here
        return "real CLIP"
    if kind in ("world", "digits", "text"):
        return kind
    return "photographs" if re.match(r"(nano|lite?)\b", model or "") or pretrained == "random" else "full"


def portable(value: object) -> object:
    """A parameter without the machine in it: of a path only the last part is kept.

    >>> portable("folder:/home/me/flowers"), portable("folder:flowers"), portable(16)
    ('folder:flowers', 'folder:flowers', 16)
    """
    if isinstance(value, str):
        prefix, rest = re.fullmatch(r"(\w{2,}:)?(.*)", value, re.DOTALL).groups()  # one letter is a Windows drive
        if re.match(r"(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\])", rest):
            rest = re.split(r"[/\\]", rest.rstrip("/\\"))[-1]
        return (prefix or "") + rest
    if isinstance(value, (list, tuple)):
        return [portable(item) for item in value]
    if isinstance(value, Mapping):
        return {key: portable(item) for key, item in value.items()}
    return value


def portable_text(message: str) -> str:
    """A sentence without the machine in it: of each path only the last part is kept.

    >>> portable_text("folder:/home/me/flowers: 1 image is left out; the first is /home/me/flowers/a b/1.jpg: truncated")
    'folder:flowers: 1 image is left out; the first is a b/1.jpg: truncated'
    >>> portable_text("folder:../../data/flowers: 14 test pictures a seed and/or fewer")
    'folder:flowers: 14 test pictures a seed and/or fewer'
    """
    path = r"(?<![\w.])(?:~|\.{1,2}|[A-Za-z]:(?=[/\\]))?(?:[/\\][^\s/\\:;,'\"()]+)+"
    return re.sub(path, lambda m: re.split(r"[/\\]", m[0])[-1], message)


def json_ready(value: object, where: str = "value") -> object:
    """Plain JSON values: numpy scalars and arrays unpacked, tuples as lists.

    Raises ClipkitError for NaN and infinity, which JSON has no word for, and for what is not data; it names the place.
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(item, f"{where}/{key}") for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple, range)):
        return [json_ready(item, f"{where}/{position}") for position, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ClipkitError(f"{where} is {value}: a record holds finite numbers only; mend the run that produced it")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise ClipkitError(f"{where} is a {type(value).__name__}: a record holds numbers, texts, lists and mappings only")


def write_json(path: Path, content: object) -> None:
    """Write and rename, so that a reader, a second writer or a full disk never leaves half a file."""
    try:
        write_atomically(path, to_json(content) + "\n")
    except OSError as error:
        raise ClipkitError(f"cannot write {path.name}: {error.strerror or error}; make room or name another folder") from error


def to_json(content: object, depth: int = 0) -> str:
    r"""JSON text, indented, but a list of plain values or of nothing is one line: a row of scores, all digests.

    >>> print(to_json({"keys": [["gda", 4], ["clip", 4]], "seeds": [0, 1]}))
    {
     "keys": [
      ["gda", 4],
      ["clip", 4]
     ],
     "seeds": [0, 1]
    }
    """
    if isinstance(content, Mapping) and content:
        items = [f"{json.dumps(name, ensure_ascii=False)}: {to_json(value, depth + 1)}" for name, value in content.items()]
    elif isinstance(content, list) and any(isinstance(item, (list, Mapping)) for item in content):
        items = [to_json(item, depth + 1) for item in content]
    else:
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    first, last = "{}" if isinstance(content, Mapping) else "[]"
    inner = "\n" + " " * (depth + 1)
    return first + inner + ("," + inner).join(items) + "\n" + " " * depth + last
