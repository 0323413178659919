"""What a page's figures and numbers show: the record of all seeds where there is one, else the run at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from clipkit.registry.outcomes import counting
from clipkit.registry.records import Record, json_ready, portable
from clipkit.registry.scores import Scores

FREE = ("preset", "seed", "n_seeds", "device")  # parameters that change how much is measured, not what


def find_record(
    records: Sequence[Record], about: Mapping, asked: Mapping, live: Scores, fingerprint: str | None = None
) -> tuple[Record | None, str]:
    """The record that stands for a run, or None and why.

    It is of the same model and data, was run with the parameters that were asked for, holds every arm of the run and more
    seeds. The book's records come before a reader's own.

    Arguments:
        about: `model`, `pretrained` and `dataset` of the run, portable. asked: parameters that were given a value.
        fingerprint: of the run's data; two folders of one name are told apart by it.
    """
    same = [r for r in [*counting(records), *(r for r in records if not r.book)] if _of(r) == tuple(about.values())]
    same = [r for r in same if ":" not in str(r.dataset["name"]) or r.dataset["fingerprint"] == fingerprint]
    if not same:
        return None, "there is no record of this model and data"
    asked = {name: json_ready(portable(value)) for name, value in asked.items() if name not in FREE and name not in about}
    same = [r for r in same if all(r.parameters.get(name) == value for name, value in asked.items())]
    if not same:
        return None, "the record was run with other parameters"
    same = [r for r in same if set(live.arms()) <= set(r.scores.arms()) and set(live.axes) <= set(r.scores.axes)]
    if not same:
        return None, "the record is older than the page's experiment"
    if len(same[0].seeds) <= len(live.seeds):
        return None, "it has as many seeds as the record"
    return same[0], ""


def tell(record: Record | None, why: str, live: Scores) -> dict:
    """MIME bundle: a line that says where figures and numbers come from."""
    run = "this run's one seed" if len(live.seeds) == 1 else f"this run's {len(live.seeds)} seeds"
    if record is None:
        said = f"Figures and numbers show {run}: {why}."
    else:
        said = f"Figures and numbers show the record ({len(record.seeds)} seeds, preset {record.preset}, {record.date[:10]}); "
        said += f"thin lines and diamonds in them are {run}."
    return {"text/plain": said, "text/html": f'<p class="ck-evidence">{escape(said)}</p>'}


def shown(record: Record | None, live: object) -> object:
    """The record's scores in the form of `live`: a DataFrame for a DataFrame."""
    if record is None or isinstance(live, Scores):
        return live if record is None else record.scores
    return record.scores.wide()


def _of(record: Record) -> tuple:
    return record.model, record.pretrained, record.dataset["name"]
