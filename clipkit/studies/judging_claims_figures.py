"""The verdict rule as a picture: one interval for each thing that can be seen, against 0 and the margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipkit.lab.figures import figure
from clipkit.lab.forest import forest
from clipkit.lab.plots import curves
from clipkit.registry.verdict import decide, operating_characteristics

if TYPE_CHECKING:
    import pandas

# what one sees -> (estimate, half the interval's width), in units of δ
BETTER = {
    "clear gain": (2.2, 0.8),
    "gain of unsure size": (1.4, 0.8),
    "gain, or luck?": (1.4, 1.2),
    "real, but large enough?": (0.8, 0.6),
    "real, but too small": (0.5, 0.3),
    "nothing there": (0.0, 0.6),
    "harm": (-1.2, 0.5),
    "too noisy": (0.9, 2.0),
}
NO_WORSE = {
    "as good": (-0.1, 0.6),
    "better even": (1.4, 0.7),
    "worse, but by how much?": (-0.9, 0.6),
    "worse": (-1.5, 0.4),
}
EQUIVALENT = {
    "the same": (0.1, 0.6),
    "nearly the same?": (0.8, 0.6),
    "different": (2.0, 0.7),
    "too noisy to say": (0.2, 1.6),
}
PANELS = (
    ("better", "a claim that one is better", BETTER, {0.0: "0", 0.5: "δ/2", 1.0: "δ"}),
    ("no_worse", "a claim that one is no worse", NO_WORSE, {-1.0: "−δ", 0.0: "0"}),
    ("equivalent", "a claim that both are equivalent", EQUIVALENT, {-1.0: "−δ", 0.0: "0", 1.0: "δ"}),
)


def verdicts(kind: str, cases: dict[str, tuple[float, float]]) -> list[str]:
    """The rule's word on each case, δ = 1."""
    return [decide(mean, mean - half, mean + half, kind, 1.0) for mean, half in cases.values()]


def verdict_picture() -> None:
    """Show the rule; the words beside the intervals are `verdict.decide`'s own."""
    told = [f"{name}: {word}" for kind, _, cases, _ in PANELS for name, word in zip(cases, verdicts(kind, cases), strict=True)]
    heights = [len(cases) + 1 for _, _, cases, _ in PANELS]
    alt = "Intervals against 0, half of delta and delta with the verdict of each. " + "; ".join(told)
    with figure(alt, "The verdict is where the interval lies", (6.4, 8.6), rows=3, height_ratios=heights, sharex=True) as panels:
        for axes, (kind, words, cases, marks) in zip(panels, PANELS, strict=True):
            rows = {name: (mean, mean - half, mean + half) for name, (mean, half) in cases.items()}
            forest(axes, rows, marks, notes=verdicts(kind, cases))
            axes.set(xlim=(-2.0, 3.2), xticks=[], xlabel=words)


def chances_picture(trials: int) -> None:
    """The chance of each word against the true effect, for five seeds that scatter by half of δ."""
    import pandas

    effects = [step / 4 for step in range(-4, 13)]
    found = pandas.DataFrame(operating_characteristics(effects, [0.5], [5], trials=trials))
    line = found.melt("effect", ["holds", "weaker", "no effect", "reversed", "open"], "verdict", "chance")
    alt = "The chance of each verdict against the true effect: reversed below 0, no effect around it, holds from delta on, open between."
    with figure(alt=alt, title="Five seeds that scatter by δ/2: how often each word falls") as axes:
        shown = line.assign(chance=100 * line.chance)
        curves(shown, "effect", "chance", by="verdict", ax=axes, xlabel="true effect", ylabel="chance, %")
        axes.set(xticks=[-1, 0, 1, 2, 3], xticklabels=["−δ", "0", "δ", "2δ", "3δ"])


def held_table(trials: int) -> pandas.DataFrame:
    """How often the rule says "holds", %: rows seeds and scatter, columns the true effect, both in units of δ."""
    import pandas

    found = pandas.DataFrame(operating_characteristics([0, 0.5, 0.8, 1, 2], [0.25, 0.5, 1.0], [5, 8], trials=trials))
    held = 100 * found.pivot(index=["n", "spread"], columns="effect", values="holds")
    held.index = [f"{n} seeds, scatter {spread:g} δ" for n, spread in held.index]
    return held.rename(columns=lambda effect: f"effect {effect:g} δ")
