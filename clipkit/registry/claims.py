"""The shape of a claim in data/papers.yml: what the paper says, how it is tested here, and when there can be no verdict."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, StringConstraints, ValidationError, model_validator

from clipkit.errors import ClipkitError
from clipkit.registry.verdict import KINDS

Text = Annotated[str, StringConstraints(min_length=1)]
Source = Literal["abstract", "paper", "official_repository", "secondary", "unverified"]
Scale = Literal["world", "photographs", "digits", "text", "real CLIP", "full"]
PROPERTY = "checked property"  # a theorem: any correct code passes, so it is checked and not counted among the tested claims
Origin = Literal["headline", "paper", "critic", "ours", PROPERTY]


class Model(BaseModel):
    """Frozen, and no field beyond those named."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PaperNumber(Model):
    """The paper's own number. `same_quantity`: ours measures the same thing, so that the two may stand side by side."""

    value: str | int | float | None
    source: Source
    metric: str | None = None
    benchmark: str | None = None
    model: str | None = None
    where: str | None = None
    note: str | None = None
    same_quantity: bool = False


class StandIn(Model):
    """A helper or rival (`arm`) that must have learnt its own task: it beats every one of `beats` by `by`, in the mean over seeds.

    `beats` is a number (chance), the name of an arm, or a list of both; `where` selects their rows of the scores.
    """

    arm: Text
    beats: float | Text | Annotated[tuple[float | Text, ...], Field(min_length=1, strict=False)]
    by: Annotated[float, Field(ge=0)] = 0.0
    where: dict[str, str | int | float] = Field(default_factory=dict)

    @property
    def rivals(self) -> tuple[float | str, ...]:
        return self.beats if isinstance(self.beats, tuple) else (self.beats,)


class Gates(Model):
    """What must be true for an experiment to come out either way; see `registry.gates`.

    Attributes:
        ceiling: the best that can be reached, an arm or a number.
        stand_ins: helpers and trained rivals.
        trivial: arms that do nothing.
    """

    ceiling: float | Text | None = None
    stand_ins: Annotated[tuple[StandIn, ...], Field(strict=False)] = ()
    trivial: Annotated[tuple[Text, ...], Field(strict=False)] = ()


class ClaimTest(Model):
    """One contrast, fixed before any run: `method` against the strongest of `baselines`, or against `null`.

    Attributes:
        metric, unit: what is measured.
        method, baselines: arms of the experiment's scores.
        where: axis -> value, the rows of the scores that are meant.
        kind: one of `verdict.KINDS`; margin: δ > 0 in `unit`.
        null: what the method's value is held against where there is no baseline: a number or an arm (chance). `above` must
            state it; a trend has 0.
        scale: where the page measures it first; direction: whether higher or lower is better.
        name: of a part, for a claim of several.
    """

    metric: Text
    unit: Text
    method: Text
    baselines: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    kind: Literal[KINDS]
    margin: PositiveFloat
    null: float | Text | None = None
    where: dict[str, str | int | float] = Field(default_factory=dict)
    scale: Scale = "world"
    direction: Literal["higher", "lower"] = "higher"
    gates: Gates = Gates()
    name: str | None = None
    note: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _key_null(cls, content: object) -> object:
        """YAML reads the bare key `null` as nothing; it is meant as the word."""
        return {"null" if key is None else key: value for key, value in content.items()} if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _against_something(self) -> ClaimTest:
        if self.baselines and self.null is not None:
            raise ValueError("a test has either `baselines` or `null`, not both")
        if self.kind == "above" and self.null is None:
            raise ValueError("`above` holds one number against a stated `null` (chance, a share of one half): give it, 0 included")
        if self.kind not in ("above", "trend") and not self.baselines and self.null is None:
            raise ValueError(f"kind `{self.kind}` compares with `baselines`, or with a stated `null`: give one of them")
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """Method, then baselines."""
        return (self.method, *self.baselines)

    @property
    def sign(self) -> float:
        return -1.0 if self.direction == "lower" else 1.0


class Change(Model):
    """One change of a claim after it was first fixed: what and why, and which result had been `seen` by then."""

    date: datetime.date
    what: Text
    why: Text
    seen: Text


class Claim(Model):
    """One claim. It has a `test`, or `parts` (it is as good as the worst of them), or says why it is `untestable`.

    Attributes:
        id, text: "C1" and our words.
        origin: the abstract's main sentence (`headline`), the paper, a later paper's objection (`critic`), our own question,
            or a theorem (`checked property`).
        paper: the paper's number.
        seeds_vary: whether another seed means other pictures (or texts), another trained model, or both.
        changes: what was changed after it was first fixed.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[A-Z]+[0-9]+[a-z]?$")]
    text: Text
    origin: Origin
    paper: PaperNumber | None = None
    test: ClaimTest | None = None
    parts: Annotated[tuple[ClaimTest, ...], Field(strict=False)] = ()
    untestable: Text | None = None
    seeds_vary: Literal["pictures", "texts", "models", "both"] | None = None
    note: str | None = None
    changes: Annotated[tuple[Change, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Claim:
        if (self.test is not None) + bool(self.parts) + (self.untestable is not None) != 1:
            raise ValueError("a claim has one of `test`, `parts` and `untestable`")
        if len(self.parts) == 1:
            raise ValueError("a claim of one part has a `test`")
        if any(not part.name for part in self.parts):
            raise ValueError("each of `parts` has a `name`")
        return self

    @property
    def tests(self) -> tuple[ClaimTest, ...]:
        """The test, or the parts; empty for a claim that cannot be tested here."""
        return (self.test,) if self.test else self.parts

    @property
    def unit(self) -> str:
        return self.tests[0].unit if self.tests else ""

    @property
    def arms(self) -> list[str]:
        """Every arm that a test of the claim names, each once."""
        return list(dict.fromkeys(arm for test in self.tests for arm in test.arms))

    def fixed(self) -> list[dict]:
        """What must not move after a result was seen: the tests without their notes, as plain values for hashing and comparing."""
        return [test.model_dump(mode="json", exclude_defaults=True, exclude={"note", "scale"}) for test in self.tests]


def checked(model: type[Model], content: object, where: str) -> Model:
    """`content` as a `model`. Raises one ClipkitError: `where`, the field, and what is wrong with it."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ClipkitError(what_is_wrong(error, where)) from None


def what_is_wrong(error: ValidationError, where: str) -> str:
    """One sentence of the first thing: `where`, the field, and what is wrong with it."""
    # A field that fits none of several types gives an error for each of them; the first is for the type we write most.
    first = error.errors(include_url=False)[0]
    steps = [step for step in first["loc"] if isinstance(step, int) or step.isidentifier()]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    no_field = "there is no such field; mend its name or leave it out"
    said = {
        "missing": "it is missing",
        "extra_forbidden": no_field,
        "unexpected_keyword_argument": no_field,
        "value_error": str(first.get("ctx", {}).get("error", "")),
    }.get(first["type"], first["msg"][:1].lower() + first["msg"][1:] + f", not {first['input']!r:.80}")
    return f"{where}, field {place or '(top)'}: {said}"


def claims_of(entry: object) -> list[Claim]:
    """The claims of a registry entry, or of a mapping of the same shape (checked)."""
    if isinstance(entry, Mapping):
        where = f"entry {entry.get('slug', '?')!r}"
        specs = enumerate(entry["claims"])
        return [spec if isinstance(spec, Claim) else checked(Claim, spec, f"{where}, claim {place}") for place, spec in specs]
    return list(entry.claims)
