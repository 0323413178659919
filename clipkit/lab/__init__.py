"""The lab: what every page needs, from its parameters to the verdict on its claims.

A notebook reads `run = lab.start(...)`, `runs = run.over_seeds(experiment)`, `run.claims(runs)`. Around it: paired
statistics, the verdict rule, records, tables and figures in one style. Nothing here knows a technique or a model.
Importing this costs numpy only: a name imports the file it lives in when it is first asked for.
"""

import lazy_loader

from clipkit.registry.outcomes import judged
from clipkit.registry.records import load_records
from clipkit.registry.scores import Scores, mean_over
from clipkit.registry.stats import rank_trends, slopes, t_interval
from clipkit.registry.verdict import decide

__getattr__, __dir__, _LAZY = lazy_loader.attach(
    __name__,
    submod_attrs={
        "figures": ["figure", "show", "style"],
        "notebook": ["glue", "glue_all"],
        "palette": ["label", "look", "looks"],
        "pictures": ["image_grid"],
        "plots": ["bars", "curves", "heatmap"],
        "report": ["Report"],
        "run": ["Run", "start"],
        "seeds": ["seed_everything"],
        "sweeps": ["load_sweep"],
        "tables": ["Table", "table"],
    },
)
__all__ = ["Scores", "decide", "judged", "load_records", "mean_over", "rank_trends", "slopes", "t_interval", *_LAZY]
