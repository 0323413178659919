"""Work ahead of the consumer: batches are decoded by threads while the model encodes the one before."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use (not those of the machine, where the two differ)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(
    items: Iterable[Item], split: Callable[[Item], list], load: Callable[[object], Result], workers: int, depth: int = 2
) -> Iterator[tuple[Item, list[Result]]]:
    """(item, [load(piece) for piece in split(item)]) in order, with `depth` items under way in `workers` threads.

    Threads are enough: image decoders, resizing and tensor arithmetic all release the interpreter lock.
    Each thread does its own arithmetic alone: a team of threads for every small picture costs far more than it
    gains. workers=0 loads in the calling thread. An exception in `load` comes out where its item would have.
    """
    if workers == 0:
        for item in items:
            yield item, [load(piece) for piece in split(item)]
        return
    import torch

    team = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clipkit-decode", initializer=torch.set_num_threads, initargs=(1,))
    under_way: deque[tuple[Item, list[Future]]] = deque()
    try:
        for item in items:
            under_way.append((item, [pool.submit(load, piece) for piece in split(item)]))
            if len(under_way) > depth:
                first, futures = under_way.popleft()
                yield first, [f.result() for f in futures]
        while under_way:
            first, futures = under_way.popleft()
            yield first, [f.result() for f in futures]
    finally:  # also when the consumer stops early or is interrupted
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(team)  # the threads' own setting became the default of later ones
