"""Reading what `clipkit sweep` wrote, so that a page can show a study that is too long to run while it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError, MissingExtra
from clipkit.paths import shipped

if TYPE_CHECKING:
    import pandas

ROWS, SUMMARY = "rows.parquet", "summary.csv"


def load_sweep(name: str, root: Path | None = None) -> pandas.DataFrame | None:
    """The rows of a committed sweep, `data/sweeps/<name>/rows.parquet`; None when there is none.

    Columns: the grid's parameters, model, dataset, preset, `seed`, `arm`, `value`, `key`. `attrs` says what the table
    is of: slug, grid, common, combinations, finished, hashes, versions, date.

    Raises ClipkitError when the file cannot be read, MissingExtra without pyarrow.
    """
    import pandas

    path = root / name / ROWS if root else shipped("sweeps", name, ROWS)
    if not path.is_file():
        return None
    try:
        return pandas.read_parquet(path)
    except ImportError:
        raise MissingExtra("pyarrow", "cluster") from None
    except Exception as error:  # pyarrow raises its own kinds
        raise ClipkitError(f"sweeps/{name}/{ROWS} cannot be read ({str(error)[:200]}); run the sweep again") from error
