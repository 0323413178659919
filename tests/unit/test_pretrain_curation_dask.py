"""Curation over parquet shards: the same counts and the same uids as in memory, whatever the partitions, workers and engine."""

import os
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("dask")
pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

from clipkit.errors import ClipkitError  # noqa: E402
from clipkit.pretrain import SubstringMatcher, count_matches, hash_sample, keep_probability  # noqa: E402
from clipkit.pretrain import curation_dask as dasky  # noqa: E402
from clipkit.world import NAMES, WorldSpec, crawl, name_shares, sample_scenes  # noqa: E402

ENTRIES = [name for names in NAMES.values() for name in names] + ["a", "of", "photo", "never seen"]
T, SEED = 25, 4


@pytest.fixture(scope="module")
def pool():
    made = crawl(sample_scenes(WorldSpec(max_objects=1, zipf=1.2), 2000, 3), name_shares(0), 3)
    return [f"page-{i}" for i in range(2000)], made.captions


@pytest.fixture(scope="module")
def truth(pool):
    """In memory, without shards: counts, and the uids that are kept."""
    uids, texts = pool
    matches = SubstringMatcher(ENTRIES).match(texts)
    counts = count_matches(matches, len(ENTRIES))
    keep = keep_probability(matches, counts, T)
    return counts, sorted(np.array(uids)[hash_sample(uids, keep, SEED)].tolist()), keep


def write(folder, pool, parts, order=None, names=("uid", "text")):
    folder.mkdir()
    rows = np.arange(len(pool[0])) if order is None else order
    files = []
    for n, part in enumerate(np.array_split(rows, parts)):
        files.append(folder / f"shard-{n}.parquet")
        pq.write_table(pa.table({names[0]: [pool[0][i] for i in part], names[1]: [pool[1][i] for i in part]}), files[-1])
    return files


def run(folder, files, rows=65536, **columns):
    counts = dasky.count_pass(files, folder, ENTRIES, rows=rows, **columns)
    return counts, dasky.sample_pass(folder, T, SEED), dasky.kept_uids(folder)


@pytest.mark.parametrize("parts", [1, 4, 16, 33])
def test_any_partitioning_gives_the_set_of_the_whole(tmp_path, pool, truth, parts):
    order = np.random.default_rng(parts).permutation(len(pool[0]))
    files = write(tmp_path / "shards", pool, parts, order)
    counts, report, kept = run(tmp_path / "out", files, rows=7 if parts == 4 else 65536)
    assert counts.tolist() == truth[0].tolist() and counts.dtype == np.uint64
    assert kept == truth[1]
    assert report["kept"] == len(kept) and report["matched"] == (truth[2] > 0).sum()
    assert report["expected"] == pytest.approx(truth[2].sum()) and report["sd"] == pytest.approx(np.sqrt((truth[2] * (1 - truth[2])).sum()))
    assert abs(report["kept"] - report["expected"]) < 5 * report["sd"]


def test_on_a_cluster_over_tcp_a_worker_dies_and_nothing_changes(tmp_path, pool, truth):
    distributed = pytest.importorskip("distributed")
    files = write(tmp_path / "shards", pool, 80)
    done, found = tmp_path / "out" / "matched", []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, protocol="tcp://", dashboard_address=None) as local:
        assert local.scheduler_address.startswith("tcp://")
        with distributed.Client(local) as client:
            pids = list(client.run(os.getpid).values())
            caller = threading.Thread(target=lambda: found.append(run(tmp_path / "out", files)))
            caller.start()
            end = time.monotonic() + 60
            while caller.is_alive() and time.monotonic() < end and not (done.is_dir() and len(list(done.glob("*.parquet"))) > 5):
                time.sleep(0.002)
            os.kill(pids[0], signal.SIGKILL)
            caller.join(timeout=120)
            assert not caller.is_alive()
    counts, report, kept = found[0]
    assert counts.tolist() == truth[0].tolist() and kept == truth[1] and report["kept"] == len(kept)
    assert not list(tmp_path.rglob("*.partial"))  # nothing half-written stays


def test_finished_shards_are_not_matched_again_unless_something_changed(tmp_path, pool, truth, monkeypatch):
    files = write(tmp_path / "shards", pool, 3)
    run(tmp_path / "out", files)
    asked = []
    whole = SubstringMatcher.match
    monkeypatch.setattr(SubstringMatcher, "match", lambda self, texts: asked.append(1) or whole(self, texts))
    assert run(tmp_path / "out", files)[2] == truth[1] and not asked
    time.sleep(0.01)
    os.utime(files[1])  # another file of the same name
    assert run(tmp_path / "out", files)[2] == truth[1] and len(asked) == 1
    dasky.count_pass(files, tmp_path / "out", [*ENTRIES, "snow"])
    assert len(asked) == 4
    dasky.count_pass(files[:1], tmp_path / "out", ENTRIES)  # a smaller pool leaves nothing of the larger one behind
    assert len(list((tmp_path / "out" / "matched").iterdir())) == 1


def test_another_t_or_seed_needs_the_second_pass_only(tmp_path, pool, truth):
    files = write(tmp_path / "shards", pool, 2)
    run(tmp_path / "out", files)
    everything = dasky.sample_pass(tmp_path / "out", float(truth[0].max()), SEED)
    assert everything["kept"] == everything["matched"] and everything["sd"] == 0
    dasky.sample_pass(tmp_path / "out", T, SEED + 1)
    other = dasky.kept_uids(tmp_path / "out")
    assert other != truth[1] and 0.9 < len(other) / len(truth[1]) < 1.1


def test_integers_nulls_and_other_column_names(tmp_path):
    pool = ([5, 2**40, 7, 9], ["a cat", None, "no entry here?", "cat"])
    files = write(tmp_path / "shards", pool, 2, names=("key", "alt"))
    counts = dasky.count_pass(files, tmp_path / "out", ["cat", "a"], uid="key", text="alt")
    assert counts.tolist() == [2, 1]
    assert dasky.sample_pass(tmp_path / "out", 2, 0)["kept"] == 2 and dasky.kept_uids(tmp_path / "out") == [5, 9]


def test_refusals(tmp_path, pool):
    files = write(tmp_path / "shards", pool, 1)
    with pytest.raises(ClipkitError, match="no shard to read"):
        dasky.count_pass([], tmp_path / "out", ENTRIES)
    with pytest.raises(ClipkitError, match="there is no shard"):
        dasky.count_pass([tmp_path / "missing.parquet"], tmp_path / "out", ENTRIES)
    with pytest.raises(ClipkitError, match="at least one"):
        dasky.count_pass(files, tmp_path / "out", [])
    with pytest.raises(ClipkitError, match="no column 'alt'; it has: uid, text"):
        dasky.count_pass(files, tmp_path / "out", ENTRIES, text="alt")
    with pytest.raises(ClipkitError, match="run count_pass"):
        dasky.sample_pass(tmp_path / "nothing", 5, 0)
    with pytest.raises(ClipkitError, match="run sample_pass"):
        dasky.kept_uids(tmp_path / "nothing")
    dasky.count_pass(files, tmp_path / "out", ENTRIES)
    with pytest.raises(ClipkitError, match="above 0"):
        dasky.sample_pass(tmp_path / "out", 0, 0)
    assert not list(tmp_path.rglob("*.partial"))
