"""Settings that every page takes for data and models of one's own, whether or not its parameters cell has them.

They are kept as parameters of the run. What the page loads by is changed here, once: `dataset` becomes `mine:DATA?names=…`
(see `clipkit.datasets.mine`) and `model` becomes `cast:bf16:NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable

from clipkit.errors import ClipkitError
from clipkit.lab import notebook
from clipkit.notices import notice
from clipkit.paths import hash_file

OF_DATA = ("names", "templates", "splits", "columns", "fractions")
SETTINGS = (*OF_DATA, "precision")
OTHERWISE = ("None", "world", "features", "text")  # kinds of data that are no pictures of a reader's with classes


def given_settings(injected: Iterable[str]) -> dict[str, str]:
    """The settings among the names that papermill set, with their values."""
    space = getattr(notebook.kernel(), "user_ns", {})
    found = {name: space.get(name) for name in injected if name in SETTINGS}
    return {k: ",".join(map(str, v)) if isinstance(v, (list, tuple)) else str(v) for k, v in found.items() if v is not None}


def loaded_by(slug: str, params: dict[str, object], takes: str = "split") -> dict[str, str]:
    """`dataset` and `model` as the page has to load them, where settings or a folder without splits ask for another name.

    `takes`: what the page does with a reader's pictures, `own_pictures` of its registry entry.

    Raises ClipkitError for settings of data that are not one's own, or of a model on a page without any.
    """
    from clipkit.datasets.mine import SHARES, has_splits, mine_of

    data, model = str(params.get("dataset")), params.get("model")
    of_data, found = {name: params[name] for name in OF_DATA if name in params}, {}
    if of_data and (data.partition(":")[0] in OTHERWISE or takes in ("masks", "boxes", "dots")):
        hint = "leave them out, or add -p dataset folder:PATH"
        raise ClipkitError(f"{', '.join(of_data)}: for labelled or captioned pictures of your own, not for {data} on {slug}; {hint}")
    said = {"splits", "columns", "fractions"} & set(of_data)
    if "dataset" in params and takes == "split" and not said and not has_splits(data):
        of_data["fractions"] = ",".join(map(str, SHARES))
        shares = ", ".join(f"{100 * share:.0f}" for share in SHARES)
        notice(
            f"{data} does not say which pictures are for training: {shares} % of each class are taken as train, val and test, in the order "
            "of the pictures' hashes; -p fractions 0.6,0.2,0.2 takes other shares"
        )
    if of_data:
        found["dataset"] = mine_of(data, **of_data)
    if "precision" in params:
        if not model or str(model).startswith("features:"):
            raise ClipkitError(f"precision = {params['precision']}: {slug} loads no network whose precision could be chosen; leave it out")
        found["model"] = f"cast:{params['precision']}:{model}"
    return found


def files_used(params: dict[str, object]) -> list[dict]:
    """Notes for `Run.used` on the text files among the settings, so that a changed file is another run."""
    from clipkit.datasets.local_paths import find

    files = [(name, find(str(params[name]))) for name in ("names", "templates") if name in params]
    return [{"kind": "setting", "name": name, "fingerprint": hash_file(path)} for name, path in files if path.is_file()]
