"""The shape of data/papers.yml, as a JSON schema."""

from __future__ import annotations

from clipkit.registry.parts import PARTS

SOURCES = ("abstract", "paper", "official_repository", "secondary", "unverified")
KINDS = ("better", "equivalent", "trend")
SCALES = ("world", "photographs", "digits", "text", "full")

_TEXT = {"type": "string", "minLength": 1}
_MAYBE_TEXT = {"type": ["string", "null"]}

PAPER_NUMBER = {
    "type": "object",
    "required": ["value", "source"],
    "additionalProperties": False,
    "properties": {
        "value": {"type": ["string", "number", "null"]},
        "metric": _MAYBE_TEXT,
        "benchmark": _MAYBE_TEXT,
        "model": _MAYBE_TEXT,
        "source": {"enum": list(SOURCES)},
        "where": _MAYBE_TEXT,
        "note": _MAYBE_TEXT,
    },
}
TEST = {
    "type": "object",
    "required": ["metric", "unit", "method", "baseline", "kind", "margin"],
    "additionalProperties": False,
    "properties": {
        "metric": _TEXT,
        "unit": _TEXT,
        "method": _TEXT,
        "baseline": {"anyOf": [{"type": "null"}, _TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
        "kind": {"enum": list(KINDS)},
        "margin": {"type": "number", "exclusiveMinimum": 0},
        "scale": {"enum": list(SCALES)},
        "direction": {"enum": ["higher", "lower"]},
        "note": _MAYBE_TEXT,
    },
}
CLAIM = {
    "type": "object",
    "required": ["id", "text"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": r"^[A-Z]+[0-9]+[a-z]?$"},
        "text": _TEXT,
        "paper": PAPER_NUMBER,
        "test": TEST,
        "untestable": _TEXT,
        "note": _MAYBE_TEXT,
    },
    "oneOf": [{"required": ["test"]}, {"required": ["untestable"]}],
}
_COMMON = {
    "slug": {"type": "string", "pattern": r"^[a-z0-9_]+$"},
    "title": _TEXT,
    "tags": {"type": "array", "items": _TEXT},
    "idea": {"type": "string", "minLength": 1, "maxLength": 160},
    "claims": {"type": "array", "items": CLAIM},
    "year": {"type": ["integer", "null"], "minimum": 1950, "maximum": 2100},
    "authors": {"type": "array", "items": _TEXT, "minItems": 1},
    "venue": _MAYBE_TEXT,
    "arxiv": {"type": ["string", "null"], "pattern": r"^\d{4}\.\d{4,5}$|^[a-z-]+/\d{7}$"},
    "code": {"type": ["string", "null"], "pattern": r"^https?://"},
    "doi": _MAYBE_TEXT,
    "note": _MAYBE_TEXT,
}
PAPER = {
    "type": "object",
    "required": ["slug", "title", "authors", "year", "venue", "arxiv", "code", "part", "tags", "idea", "claims"],
    "additionalProperties": False,
    "properties": {**_COMMON, "year": {"type": "integer"}, "part": {"enum": [part.id for part in PARTS]}},
}
FOUNDATION = {
    "type": "object",
    "required": ["slug", "title", "tags", "idea", "claims"],
    "additionalProperties": False,
    "properties": {**_COMMON, "part": {"enum": [part.id for part in PARTS]}},  # a study of our own may stand in any part
}
