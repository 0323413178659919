"""MetaCLIP's curation after matching: count the entries, flatten the counts, keep or drop each pair.

Pure functions that any engine can call shard by shard: counts of shards add up, and whether a pair is kept depends on its
own entries, the total counts, its uid and the seed, never on where or when it is asked. `matches` is either a list with
one array of entry numbers a text (`SubstringMatcher.match`) or a sparse (N, P) array (`SubstringMatcher.matches`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    Matches = Sequence[np.ndarray] | csr_array

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


# ---- pass 1: count ----


def count_matches(matches: Matches, n_entries: int) -> np.ndarray:
    """(P,) uint64: texts in which each entry stands, each text once.

    >>> count_matches([np.array([0, 2]), np.array([2])], 3).tolist()
    [1, 0, 2]

    Raises: ClipkitError for an entry number outside 0 .. P - 1, or no entries.
    """
    if n_entries < 1:
        raise ClipkitError(f"counting needs at least one entry, got n_entries = {n_entries}")
    rows, ids, n = _flat(matches, n_entries)
    if len(ids) > 1 and (np.diff(rows * n_entries + ids) <= 0).any():  # not ascending: an entry may stand twice in a row
        rows, ids = np.divmod(np.unique(rows * n_entries + ids), n_entries)
    return np.bincount(ids, minlength=n_entries).astype(np.uint64)


def merge_counts(*counts: np.ndarray) -> np.ndarray:
    """(P,) uint64: counts of shards added up, in any order and any grouping. Raises: ClipkitError for none, or unequal lengths."""
    if not counts or len({np.shape(c) for c in counts}) > 1:
        raise ClipkitError(f"want counts of one length, one row a shard; got shapes {[np.shape(c) for c in counts]}")
    return np.sum([_counts(c) for c in counts], axis=0, dtype=np.uint64)


# ---- between the passes: the threshold t ----


def tail_share(counts: np.ndarray, t: float) -> float:
    """Share of all matches that belong to tail entries, those with a count below t.

    >>> tail_share(np.array([1, 2, 7]), 3)
    0.3

    Raises: ClipkitError when nothing matched. Source: `t_to_p` of facebookresearch/MetaCLIP (arXiv:2507.22062).
    """
    counts, _ = _counts(counts), _threshold(t)
    if not counts.sum():
        raise ClipkitError("no entry matched any text, so there is no tail; check the metadata against a few texts")
    return float(counts[counts < t].sum() / counts.sum())


def threshold_for_tail(counts: np.ndarray, share: float) -> int:
    """The t, among the counts that occur and the largest plus one, whose `tail_share` is nearest to `share`; of equals the smaller.

    Raises: ClipkitError for a share outside [0, 1], or when nothing matched.

    Source: `p_to_t` of facebookresearch/MetaCLIP, with one difference: its share takes in the entries *at* t and `t_to_p`'s does
    not, so that going there and back moves t by an entry. Here both leave them out, and the way back is exact.
    """
    counts = _counts(counts)
    if not 0 <= share <= 1:
        raise ClipkitError(f"the tail's share of the matches lies in [0, 1], got {share}")
    if not counts.sum():
        raise ClipkitError("no entry matched any text, so no threshold can be chosen; check the metadata against a few texts")
    values, times = np.unique(counts[counts > 0], return_counts=True)
    below = np.concatenate([[0.0], np.cumsum(values.astype(float) * times)]) / float(counts.sum())  # share below each candidate
    return int([*values, int(values[-1]) + 1][int(np.abs(below - share).argmin())])


def threshold_for_size(matches: Matches, counts: np.ndarray, size: float) -> float:
    """The t at which `expected_size` is `size`: for a curated set of a wanted size.

    Raises: ClipkitError for a size that is not above 0, or is above the number of texts that matched anything.
    """
    flat = _flat(matches, len(counts))
    matched = len(np.unique(flat[0]))
    if not 0 < size <= matched:
        raise ClipkitError(f"between 1 and {matched} texts can be kept (those that matched), got size = {size}")
    low, high = 0.0, float(counts.max())
    for _ in range(100):  # the expected size rises with t
        middle = (low + high) / 2
        low, high = (middle, high) if _keep(*flat, counts, middle).sum() < size else (low, middle)
    return high


# ---- pass 2: keep or drop ----


def entry_probability(counts: np.ndarray, t: float) -> np.ndarray:
    """(P,) float64: min(1, t / count), and 1 for an entry that never matched. Raises: ClipkitError unless t > 0.

    >>> entry_probability(np.array([10, 40, 0]), 20).tolist()
    [1.0, 0.5, 1.0]
    """
    counts, t = _counts(counts), _threshold(t)
    return t / np.maximum(counts.astype(np.float64), t)


def keep_probability(matches: Matches, counts: np.ndarray, t: float) -> np.ndarray:
    """(N,) float64: chance that at least one of a text's entries, each with its own coin, says keep; 0 for a text without entries.

    1 - product over its entries of (1 - min(1, t / count)), eq. in section 3.4. Counts are those of the whole pool.

    >>> keep_probability([np.array([0]), np.array([1, 2]), np.array([], int)], np.array([5, 40, 40]), 20).tolist()
    [1.0, 0.75, 0.0]

    Raises: ClipkitError for entries that have no count, a count of 0 for an entry that matched, or t not above 0.

    Source: arXiv:2309.16671, section 3.4; `curate` of facebookresearch/MetaCLIP has the same product. The demo notebook
    prints the sum of the probabilities instead, which is an upper bound.
    """
    rows, ids, n = _flat(matches, len(counts))
    if len(ids) and not _counts(counts)[ids].all():
        raise ClipkitError("an entry matched and yet has count 0: give the counts of the whole pool, not of another one")
    return _keep(rows, ids, n, counts, t)


def expected_size(keep: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the number of pairs kept, from their `keep_probability` (N,): coins are independent."""
    keep = np.asarray(keep, dtype=np.float64)
    return float(keep.sum()), float(np.sqrt((keep * (1 - keep)).sum()))


def hash_uniform(uids: Sequence, seed: int, stream: str = "") -> np.ndarray:
    """(N,) float64 in [0, 1): a number that depends on the uid, the seed and the name of the stream, and on nothing else.

    Args: uids: integers (64 bits) or strings. seed: a whole number, not negative. stream: independent numbers for another purpose.

    Raises: ClipkitError for uids that are neither, or a negative seed.
    """
    if seed < 0:
        raise ClipkitError(f"the seed must not be negative, got {seed}")
    key = np.frombuffer(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), dtype="<u8")
    with np.errstate(over="ignore"):
        z = _mixed((_integers(uids) ^ key) + _GOLDEN)
        return (_mixed(z + _GOLDEN) >> np.uint64(11)) * 2.0**-53


def hash_sample(uids: Sequence, probability: np.ndarray, seed: int) -> np.ndarray:
    """(N,) bool: pair n is kept with its probability; the same answer in every partition, order and retry.

    Args: uids: unique over the whole pool, integers or strings. probability: (N,) in [0, 1]. seed: another one, another sample.

    Raises: ClipkitError for lengths that differ, or probabilities outside [0, 1] (NaN too).
    """
    probability = np.asarray(probability, dtype=np.float64)
    if probability.shape != (len(uids),) or not ((probability >= 0) & (probability <= 1)).all():
        raise ClipkitError(f"want one probability in [0, 1] for each of the {len(uids)} uids, got shape {probability.shape}")
    return hash_uniform(uids, seed, "keep") < probability


def gini(counts: np.ndarray) -> float:
    """Inequality of counts (P,): 0 when all are equal, near 1 when one entry has everything. Raises: ClipkitError for all zero.

    >>> gini(np.array([1, 1, 1, 1])), gini(np.array([0, 0, 0, 4]))
    (0.0, 0.75)
    """
    x = np.sort(np.asarray(counts, dtype=np.float64))
    if not len(x) or not x.sum() > 0 or x[0] < 0:
        raise ClipkitError("want counts of which none is negative and one is above 0")
    n = len(x)
    return float(2 * (np.arange(1, n + 1) * x).sum() / (n * x.sum()) - (n + 1) / n)


# ---- inside ----


def _keep(rows: np.ndarray, ids: np.ndarray, n: int, counts: np.ndarray, t: float) -> np.ndarray:
    """The closed form in logarithms: small probabilities do not vanish beside 1, and a row's sum is its own, whatever its shard."""
    with np.errstate(divide="ignore"):
        missed = np.log1p(-entry_probability(counts, t)) if t > 0 else np.zeros(len(counts))
    return 0.0 - np.expm1(np.bincount(rows, weights=missed[ids], minlength=n))  # 0 minus: no minus zero


def _flat(matches: Matches, n_entries: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Row of each match, its entry, number of texts."""
    if hasattr(matches, "indptr"):
        ids, lengths = matches.indices, np.diff(matches.indptr)
    else:
        lengths = np.array([len(ids) for ids in matches], dtype=np.int64)
        ids = np.concatenate([np.zeros(0, np.int32), *matches])
    ids = ids.astype(np.int64)
    if len(ids) and not 0 <= ids.min() <= ids.max() < n_entries:
        raise ClipkitError(
            f"matches name entries {ids.min()} to {ids.max()}, there are {n_entries}; use the metadata they were matched with"
        )
    return np.repeat(np.arange(len(lengths)), lengths), ids, len(lengths)


def _counts(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (len(counts) and counts.min() < 0):
        raise ClipkitError(f"counts are one whole number an entry, none negative; got {counts.dtype} of shape {counts.shape}")
    return counts.astype(np.uint64)


def _threshold(t: float) -> float:
    if not t > 0:
        raise ClipkitError(f"the threshold t must be above 0, got {t}")
    return t


def _integers(uids: Sequence) -> np.ndarray:
    array = np.asarray(uids)
    if array.size == 0:
        return np.zeros(0, dtype=np.uint64)
    if array.dtype.kind in "iu":
        return array.astype(np.uint64)
    if array.dtype.kind in "UO" and all(isinstance(uid, str) for uid in uids):
        return np.array([int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=8).digest(), "little") for uid in uids], dtype=np.uint64)
    if not isinstance(uids, np.ndarray) and all(isinstance(uid, int) and -(2**63) <= uid < 2**64 for uid in uids):
        return np.array([uid % 2**64 for uid in uids], dtype=np.uint64)  # a list that numpy took for floats
    raise ClipkitError(f"uids are integers of 64 bits or strings, got {array.dtype}")


def _mixed(z: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
