"""The two passes of curation over parquet shards, with Dask: on this machine's cores, or on a cluster.

    with Client("tcp://scheduler:8786"):                   # without a client: threads of this machine
        counts = count_pass(files, folder, entries)        # pass 1: match every text, add the counts up
        report = sample_pass(folder, t, seed)              # pass 2: keep or drop, no shuffle

Nothing but a (P,) vector of counts travels between machines. Shards and `folder` must lie where all workers see them. The
entries are written to the folder once, and each worker process builds its automaton once.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from clipkit.errors import ClipkitError, MissingExtra
from clipkit.pretrain.curation import count_matches, entry_probability, expected_size, hash_sample, keep_probability, merge_counts
from clipkit.pretrain.matching import SubstringMatcher

METADATA, COUNTS, MATCHED, KEPT = "metadata.json", "counts.npy", "matched", "kept"
WIDTH = 16  # partial results that one task adds up
_building = threading.Lock()


def count_pass(
    files: Sequence[str | Path], folder: str | Path, entries: Sequence[str], uid: str = "uid", text: str = "text", rows: int = 65536
) -> np.ndarray:
    """Match the texts of all shards; (P,) uint64 counts over the pool.

    Writes folder/matched/*.parquet, a file a shard with the uids and `entry_ids` (list of int32) of the texts that matched
    anything, and folder/counts.npy. A shard whose file is there, made of the same shard and entries, is not matched again.

    Args:
        files: parquet files, one shard each, with a column of unique uids (integers or strings) and one of texts (null: no match).
        entries: P strings. uid, text: names of the columns. rows: texts held in memory at a time.

    Raises: ClipkitError for no files, a missing file or column, or entries that `SubstringMatcher` refuses.
    """
    compute, delayed = _dask()
    files, folder = [Path(file) for file in files], Path(folder)
    if not files:
        raise ClipkitError("no shard to read; give a list of parquet files")
    for file in files:
        if not file.is_file():
            raise ClipkitError(f"there is no shard {file}; give the paths of parquet files that all workers can read")
    SubstringMatcher(entries)  # bad entries are refused here, not on some worker
    (folder / MATCHED).mkdir(parents=True, exist_ok=True)
    text_of_entries = json.dumps(list(entries), ensure_ascii=False)
    _whole(folder / METADATA, lambda path: path.write_text(text_of_entries, encoding="utf-8"))
    key = hashlib.sha256(text_of_entries.encode()).hexdigest()
    work, place = delayed(_match_shard, pure=False), str(folder / METADATA)
    parts = [work(str(file), str(folder / MATCHED / f"{n:06d}.parquet"), place, key, uid, text, rows) for n, file in enumerate(files)]
    counts = compute(_tree(parts, merge_counts, delayed))[0]
    for stale in sorted((folder / MATCHED).glob("*.parquet"))[len(files) :]:  # of an earlier pool with more shards
        stale.unlink()
    _swept(folder / MATCHED)
    _whole(folder / COUNTS, lambda path: _save(path, counts))
    return counts


def sample_pass(folder: str | Path, t: float, seed: int, counts: np.ndarray | None = None) -> dict[str, float]:
    """Balance what `count_pass` has matched; a new t or seed needs this pass only.

    Writes folder/kept/*.parquet: uid and keep_probability of the pairs that are kept.

    Args: t: the threshold. seed: of the hash. counts: (P,) of the pool; None for those in the folder.

    Returns: {"matched", "kept", "expected", "sd"}: texts before and after, and mean and standard deviation of the number kept.
    Raises: ClipkitError when pass 1 has left nothing there, or t is not above 0.
    """
    compute, delayed = _dask()
    folder = Path(folder)
    sources = sorted((folder / MATCHED).glob("*.parquet"))
    if not sources or not (folder / COUNTS).is_file():
        raise ClipkitError(f"pass 1 has left no matches in {folder}; run count_pass there first")
    counts = np.load(folder / COUNTS) if counts is None else counts
    entry_probability(counts, t)  # a bad t is refused here
    (folder / KEPT).mkdir(exist_ok=True)
    shared = delayed(counts)  # one copy in the graph, sent to each worker once
    parts = [delayed(_sample_shard, pure=False)(str(file), str(folder / KEPT / file.name), shared, t, seed) for file in sources]
    for stale in {path.name for path in (folder / KEPT).glob("*.parquet")} - {path.name for path in sources}:
        (folder / KEPT / stale).unlink()
    matched, kept, expected, variance = compute(_tree(parts, _added, delayed))[0]
    _swept(folder / KEPT)
    return {"matched": int(matched), "kept": int(kept), "expected": float(expected), "sd": float(np.sqrt(variance))}


def kept_uids(folder: str | Path) -> list:
    """The uids that `sample_pass` kept, sorted. Raises: ClipkitError before pass 2 has run."""
    import pyarrow.parquet as pq

    files = sorted((Path(folder) / KEPT).glob("*.parquet"))
    if not files:
        raise ClipkitError(f"nothing has been sampled in {folder} yet; run sample_pass")
    return sorted(uid for file in files for uid in pq.read_table(file, columns=["uid"])["uid"].to_pylist())


# ---- what runs on a worker ----


def _match_shard(source: str, target: str, metadata: str, key: str, uid: str, text: str, rows: int) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    matcher = _matcher(metadata, key)
    counts = np.zeros(len(matcher.entries), dtype=np.uint64)
    stat = os.stat(source)
    about = {b"made_of": f"{key} {source} {stat.st_size} {stat.st_mtime_ns}".encode()}
    if Path(target).is_file() and (pq.read_schema(target).metadata or {}).get(b"made_of") == about[b"made_of"]:
        for batch in pq.ParquetFile(target).iter_batches(rows, columns=["entry_ids"]):
            counts += count_matches(_lists(batch.column("entry_ids")), len(counts))
        return counts
    with pq.ParquetFile(source) as shard:
        for column in (uid, text):
            if column not in shard.schema_arrow.names:
                raise ClipkitError(f"shard {source} has no column {column!r}; it has: {', '.join(shard.schema_arrow.names)}")
        schema = pa.schema([("uid", shard.schema_arrow.field(uid).type), ("entry_ids", pa.list_(pa.int32()))], metadata=about)

        def write(path: Path) -> None:
            with pq.ParquetWriter(path, schema) as out:
                for batch in shard.iter_batches(rows, columns=[uid, text]):
                    matches = matcher.match(value or "" for value in batch.column(text).to_pylist())
                    counts[:] += count_matches(matches, len(counts))
                    found = np.array([len(ids) > 0 for ids in matches], dtype=bool)
                    ids = pa.array([matches[i] for i in np.flatnonzero(found)], type=pa.list_(pa.int32()))
                    out.write_table(pa.table([batch.column(uid).filter(pa.array(found)), ids], schema=schema))

        _whole(Path(target), write)
    return counts


def _sample_shard(source: str, target: str, counts: np.ndarray, t: float, seed: int) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = np.zeros(4)
    with pq.ParquetFile(source) as shard:
        schema = pa.schema([shard.schema_arrow.field("uid"), ("keep_probability", pa.float64())])

        def write(path: Path) -> None:
            with pq.ParquetWriter(path, schema) as out:
                for batch in shard.iter_batches(65536):
                    keep = keep_probability(_lists(batch.column("entry_ids")), counts, t)
                    chosen = hash_sample(_values(batch.column("uid")), keep, seed)
                    mean, sd = expected_size(keep)
                    total[:] += len(keep), chosen.sum(), mean, sd**2
                    out.write_table(pa.table([batch.column("uid").filter(pa.array(chosen)), pa.array(keep[chosen])], schema=schema))

        _whole(Path(target), write)
    return total


def _matcher(path: str, key: str) -> SubstringMatcher:
    with _building:  # threads of one worker wait for the first to build it
        return _built(path, key)


@lru_cache(maxsize=1)
def _built(path: str, _key: str) -> SubstringMatcher:
    return SubstringMatcher(json.loads(Path(path).read_text(encoding="utf-8")))


def _values(column):
    """A column of uids as numbers, or as strings, which Arrow keeps as objects."""
    import pyarrow as pa

    return column.to_numpy(zero_copy_only=False) if pa.types.is_integer(column.type) else column.to_pylist()


def _lists(column):
    """A list column as the sparse array that `curation` takes, without a Python loop."""
    from scipy.sparse import csr_array

    ids, ends = column.flatten().to_numpy(zero_copy_only=False), column.offsets.to_numpy() - column.offsets[0].as_py()
    width = int(ids.max()) + 1 if len(ids) else 1
    return csr_array((np.ones(len(ids), dtype=bool), ids, ends), shape=(len(column), width))


# ---- inside ----


def _added(*totals: np.ndarray) -> np.ndarray:
    return np.sum(totals, axis=0)


def _tree(parts: list, join, delayed) -> object:
    """Add partial results up in groups, groups of groups, and so on: no machine holds more than WIDTH of them."""
    while len(parts) > 1:
        parts = [delayed(join, pure=False)(*group) for group in _groups(parts)]
    return parts[0]


def _groups(parts: list) -> Iterator[list]:
    for i in range(0, len(parts), WIDTH):
        yield parts[i : i + WIDTH]


def _save(path: Path, counts: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, counts)


def _whole(path: Path, writer) -> None:
    """Write beside and rename: a retried or doubled task replaces a whole file by the same whole file."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        writer(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _swept(folder: Path) -> None:
    """Remove what workers that died left half-written."""
    for partial in folder.glob("*.partial"):
        partial.unlink(missing_ok=True)


def _dask():
    try:
        import pyarrow.parquet  # noqa: F401
        from dask import compute, delayed
    except ImportError as error:
        raise MissingExtra(error.name or "dask", "cluster") from None
    return compute, delayed
