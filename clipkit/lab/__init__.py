"""The lab: what every page needs, from its parameters to the verdict on its claims.

A notebook reads `run = lab.start(...)`, `runs = run.over_seeds(experiment)`, `run.claims(runs)`. Around it: paired
statistics, the verdict rule, records, tables and figures in one style. Nothing here knows a technique or a model.
Importing this costs numpy only; pandas, matplotlib, seaborn and scipy come when they are used.
"""

from __future__ import annotations

from clipkit.lab.figures import figure, show, style
from clipkit.lab.notebook import glue, glue_all
from clipkit.lab.palette import label, look, looks
from clipkit.lab.pictures import image_grid
from clipkit.lab.plots import bars, curves, heatmap
from clipkit.lab.report import Report
from clipkit.lab.run import Run, start
from clipkit.lab.seeds import seed_everything
from clipkit.lab.sweeps import load_sweep
from clipkit.lab.tables import Table, table
from clipkit.registry.claims import Claim
from clipkit.registry.outcomes import Judged, judge_claim, judged
from clipkit.registry.records import Record, load_records
from clipkit.registry.scores import Scores, mean_over
from clipkit.registry.stats import Interval, rank_trends, slopes, t_interval
from clipkit.registry.verdict import Verdict, decide, judge, operating_characteristics

__all__ = [
    "Claim",
    "Interval",
    "Judged",
    "Record",
    "Report",
    "Run",
    "Scores",
    "Table",
    "Verdict",
    "bars",
    "curves",
    "decide",
    "figure",
    "glue",
    "glue_all",
    "heatmap",
    "image_grid",
    "judge",
    "judge_claim",
    "judged",
    "label",
    "load_records",
    "load_sweep",
    "look",
    "looks",
    "mean_over",
    "operating_characteristics",
    "rank_trends",
    "seed_everything",
    "show",
    "slopes",
    "start",
    "style",
    "t_interval",
    "table",
]
