"""`lab.start`: the first line of every notebook, from parameters to a run with seeds, device and claims."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clipkit.dealing import deal_among
from clipkit.devices import resolve_device
from clipkit.errors import ClipkitError, unknown
from clipkit.lab import evidence, notebook, own
from clipkit.lab.palette import new_page
from clipkit.lab.report import Report, build
from clipkit.lab.seedloop import Experiment, run_seeds, store_path
from clipkit.lab.seeds import limit_threads, seed_everything
from clipkit.lab.settings import convert, settle
from clipkit.notices import forget, notice, notices, say_cut
from clipkit.registry.claims import claims_of
from clipkit.registry.contrast import scores_of
from clipkit.registry.records import load_records, portable, portable_text, scale_of

if TYPE_CHECKING:
    import pandas

    from clipkit.registry.scores import Scores


@dataclass
class Run:
    """A notebook's run. Each parameter is an attribute: `run.n_test`, `run.shots`.

    Attributes:
        slug: the page.
        params: every parameter after presets and conversion, as given ("auto" stays "auto").
        seeds: seed, seed + 1, ... (`n_seeds` of them; one when there is no such parameter).
        device: where to compute: "cpu", "cuda", "mps".
        entry: the page's registry entry.
        started: time.time() at the start.
        used: names and fingerprints of models and data sets, from `uses`.
        datasets: the only data sets the page can take; () for any.
        asked: the parameters that were given a value, converted; the preset chose the others.
        shown: the parameters of the run that `evidence` shows: a sentence about its numbers takes its settings from here.
    """

    slug: str
    params: dict[str, object]
    seeds: list[int]
    device: str
    entry: object
    started: float = field(default_factory=time.time)
    used: list[dict] = field(default_factory=list, repr=False)
    datasets: tuple[str, ...] = ()
    asked: dict[str, object] = field(default_factory=dict, repr=False)
    shown: dict[str, object] = field(default_factory=dict, repr=False)

    def __getattr__(self, name: str):
        params = self.__dict__.get("params", {})
        if name in params:
            return params[name]
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(str(unknown("parameter of this run", name, params)))

    def uses(self, *things: object) -> None:
        """Note models and data sets by name and fingerprint, for the record and for the store of finished seeds.

        What was assumed on loading a model (its activation, its preprocessing) is said, and shown below the claims.
        """
        for thing in things:
            if not hasattr(thing, "fingerprint"):
                raise ClipkitError(f"run.uses takes models and data sets; a {type(thing).__name__} has no fingerprint")
            kind = "dataset" if hasattr(thing, "images") else "model"
            note = {"kind": kind, "name": portable(str(getattr(thing, "name", ""))), "fingerprint": str(thing.fingerprint)}
            if note not in self.used:
                self.used.append(note)
            for assumed in getattr(thing, "notes", ()):
                notice(f"{thing.name}: {assumed}")
        for model in (thing for thing in things if hasattr(type(thing), "tokenize")):
            for data in (thing for thing in things if hasattr(thing, "images") and thing.scenes is None):
                say_cut(model, [text for texts in data.captions or () for text in texts])
                say_cut(model, [t.replace("{}", name) for t in data.templates for name in data.classnames or ()])

    def fingerprint(self, kind: str) -> str | None:
        """One fingerprint for all noted models or data sets; None when none was noted."""
        prints = sorted({note["fingerprint"] for note in self.used if note["kind"] == kind})
        return "+".join(prints) or None

    def dataset_used(self) -> str | None:
        """Name of the data the run is of: what it noted, whatever it was asked for; the parameter where it noted none.

        Raises ClipkitError when the parameter names data that the run neither noted nor declared.
        """
        asked = portable(self.params.get("dataset"))
        noted = sorted({note["name"] for note in self.used if note["kind"] == "dataset"})
        if noted:
            return asked if asked in noted else "+".join(noted)
        if asked not in (None, "world", *self.datasets):
            raise ClipkitError(f"{self.slug} was asked for {asked!r} and noted no data set: call run.uses with the one it loaded")
        return asked

    def over_seeds(self, experiment: Experiment, progress: bool = True, resume: bool = True) -> pandas.DataFrame | Scores:
        """`experiment(seed)` -> Scores or {arm: number} for every seed of the run; see `seedloop.run_seeds`."""
        store = store_path(self.slug, self.params, experiment, [self.used, self.seeds]) if resume else None
        return run_seeds(experiment, self.seeds, store, progress)

    def evidence(self, runs: pandas.DataFrame | Scores) -> pandas.DataFrame | Scores:
        """The recorded runs of all seeds where they stand for this one (`lab.evidence.find_record`), else `runs`; says which.

        Figures and the numbers of the text are made from what this returns, so that they agree with the outcomes;
        `claims` still takes `runs`.
        """
        about = {"model": self.params.get("model"), "pretrained": self.params.get("pretrained"), "dataset": self.dataset_used()}
        live = scores_of(runs)
        known, data = load_records(self.slug), self.fingerprint("dataset")
        record, why = evidence.find_record(known, portable(about), self.asked, live, data)
        notebook.publish(evidence.tell(record, why, live))
        self.shown = dict(record.parameters if record else self.params, n_seeds=len(record.seeds if record else live.seeds))
        return evidence.shown(record, runs)

    def report(self, runs: object, skip: Mapping[str, str] | None = None) -> Report:
        """Judge the runs against the registry's claims, beside the records, without showing anything.

        Arguments:
            runs: the table of `over_seeds`.
            skip: claim id -> why this run does not test it (no captions in this folder, say).
        """
        dataset = {"name": self.dataset_used(), "fingerprint": self.fingerprint("dataset")}
        about = {
            "slug": self.slug,
            "model": portable(self.params.get("model")),
            "pretrained": portable(self.params.get("pretrained")),
            "dataset": dataset,
            "scale": scale_of(dataset["name"], self.params.get("model"), self.params.get("pretrained")),
            "preset": self.params["preset"],
            "parameters": portable(self.params),
            "device": self.device,
            "peak_memory_mb": round(peak_memory_mb(), 1),
            "seconds": round(time.time() - self.started, 2),
            "model_fingerprint": self.fingerprint("model"),
            "notes": [portable_text(said) for said in notices()],
        }
        return build(self.entry, runs, load_records(self.slug), about, skip or {})

    def claims(self, runs: object, skip: Mapping[str, str] | None = None) -> None:
        """Show the claims table, and leave the numbers in the notebook for `clipkit record` and the ledger."""
        notebook.publish(self.report(runs, skip).bundle())


_RESERVED = {"slug", "params", "seeds", "entry", "started", "used", "datasets", "uses", "dataset_used", "fingerprint", "over_seeds"}
_RESERVED |= {"report", "claims", "evidence", "asked", "shown"}


def start(
    slug: str,
    presets: Mapping[str, Mapping[str, object]],
    *,
    preset: str = "quick",
    seed: int = 0,
    types: Mapping[str, object] | None = None,
    threads: int | None = None,
    datasets: Sequence[str] = (),
    entry: object = None,
    **parameters: object,
) -> Run:
    """Check the notebook's parameters, apply the preset, seed everything, set the figure style.

    Arguments:
        slug: the page's name in the registry.
        presets: preset name -> table; `n_seeds` in it says how many seeds.
        preset, seed, **parameters: the names of the parameters cell. None for a name in the table means
            "as the preset says"; anything else overrides it.
        types: name -> type for parameters whose type neither the presets nor the parameters cell tell.
        threads: limit torch to so many cores.
        datasets: what `dataset` may be, for a page that cannot take any: ("world",).
        entry: registry entry, for tests; by default looked up by `slug`.

    Raises ClipkitError: unknown page, preset or device; a data set the page cannot take; a parameter of the wrong type, or one
    given from outside that the parameters cell does not have; a seed out of range.
    """
    # Tests run the notebooks as they are; the environment then asks for the smallest preset.
    if preset == "quick" and notebook.kernel() is not None:
        preset = os.environ.get("CLIPKIT_PRESET", preset)
    forget()
    if str(parameters.get("dataset")).startswith("features:"):  # vectors come with a model of their own
        parameters["model"] = parameters["dataset"]
    sources = notebook.cells()
    foreign, known = notebook.injected(sources)
    if misspelt := [name for name in foreign if name not in own.SETTINGS]:
        raise unknown(f"parameter of {slug}", misspelt[0], [*known, *own.SETTINGS])
    for name in parameters:
        if name in _RESERVED:
            raise ClipkitError(f"a parameter cannot be called {name!r}: the run has something else of that name; rename it")
    given = {"seed": seed, **parameters, **own.given_settings(foreign)}
    params = settle(presets, preset, given, types, notebook.literals(sources))
    params = {"preset": preset, **params}
    if datasets and params.get("dataset") not in (None, *datasets):
        raise ClipkitError(f"{slug} runs on {' or '.join(datasets)} only, not on {params['dataset']!r}: leave out -p dataset")
    if entry is None:
        from clipkit.registry.papers import entry as look_up

        entry = look_up(slug)
    # Cells that use the variable instead of `run.NAME` get the converted value too: papermill's -r gives texts, 1e3 a float.
    asked = {name: params[name] for name, value in given.items() if value is not None}
    notebook.rebind({**asked, **own.loaded_by(slug, params, getattr(entry, "own_pictures", "split"))})
    n_seeds = convert("n_seeds", params.get("n_seeds", 1), int, 5)
    if n_seeds < 1:
        raise ClipkitError(f"n_seeds = {n_seeds}: at least one seed is needed")
    device = "cpu" if params.get("device", "cpu") == "cpu" else str(resolve_device(params["device"]))  # no torch for a page without
    seed_everything(params["seed"], torch=True if "device" in params else None)
    seeds = list(range(params["seed"], params["seed"] + n_seeds))
    deal_among(seeds)
    if threads is not None:
        limit_threads(threads)
    new_page(arm for claim in claims_of(entry) for arm in claim.arms)
    if notebook.kernel() is not None:
        from clipkit.lab.figures import use_style

        use_style()
    return Run(slug, params, seeds, device, entry, used=own.files_used(params), datasets=tuple(datasets), asked=asked)


def peak_memory_mb() -> float:
    """Most memory this process has held, in MiB; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
