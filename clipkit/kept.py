"""What was computed once and is kept: on disk under a key of everything it depends on, or in memory while a process runs.

    weights = kept("twins", train_twin, model.fingerprint, mask, seed, steps)     # train_twin(*inputs), or what it gave before

A file's name ends in the hash of its bytes, and a rename puts it in place. So a file is whole or absent, damage is noticed on
reading, and two writers at once cannot spoil each other's work: at worst both write. No lock is needed, and none can be left
behind by a killed process.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from clipkit import paths
from clipkit.errors import ClipkitError
from clipkit.paths import hash_file, write_atomically

FORMAT = 1  # raise it when what is stored, or how, changes: older entries are then left alone
log = logging.getLogger("clipkit.kept")
_reading = threading.Lock()  # Python 3.11 cannot build two syntax trees at a time
_verified: dict[str, tuple[int, int]] = {}  # path -> (size, mtime) at which its hash was right


def kept(name: str, build: Callable, *inputs, folder: str | Path | None = None):
    """build(*inputs), or what an earlier call with the same inputs and the same code gave.

    Args:
        name: of the files, for people. folder: where; None for "kept" in the cache.
        build: a function of the top level of its file. All that it depends on are its inputs and its code.
        inputs: what `fingerprint` takes.

    The key holds the inputs' fingerprints, the digests of all definitions that `build` and the inputs' own classes reach
    (see `clipkit.definitions`), torch's version and this file's format. Kept are tensors, arrays, numbers
    and texts, alone or in lists, tuples and dictionaries; what is returned is the same whether it was found or built: tensors
    lie on the CPU and ask for no gradient. A cache that cannot be read or written costs time, never the result.

    Raises ClipkitError: a `build` that closes over values, an input without a fingerprint, a value of another kind.
    """
    if getattr(build, "__closure__", None) or isinstance(build, functools.partial):
        raise ClipkitError(f"kept({name!r}): the function must stand at the top level of its file and take all it needs as inputs")
    ours = sorted({type(x) for x in inputs if type(x).__module__.startswith("clipkit.")}, key=repr)
    key = _hash([FORMAT, name, torch.__version__, _code(build), [_code(kind) for kind in ours], inputs])
    folder = paths.cache_path("kept") if folder is None else Path(folder)
    try:
        path = find_tensors(folder, f"{name}-{key[:16]}", key)
        if path is not None:
            return _joined(read_facts(path)["value"], load_file(path))
    except (OSError, SafetensorError, KeyError) as error:
        log.warning("%s cannot be read from the cache (%s); it is made again", name, error)
    tensors: dict[str, Tensor] = {}
    tree = _parts(build(*inputs), tensors)
    try:
        write_tensors(paths.writable(folder), f"{name}-{key[:16]}", tensors, {"key": key, "value": tree})
    except OSError as error:
        log.warning("%s is not kept in %s (%s); set CLIPKIT_CACHE to another folder", name, folder, error.strerror or error)
    return _joined(tree, tensors)


def remembered(most: int) -> Callable[[Callable], Callable]:
    """A function whose `most` latest results stay in memory, found by the fingerprints of its arguments.

    The results are shared: change none. `function.forget()` drops them.
    """

    def around(function: Callable) -> Callable:
        memory: OrderedDict[str, object] = OrderedDict()

        @functools.wraps(function)
        def call(*args, **options):
            key = _hash([args, options])
            if key not in memory:
                memory[key] = function(*args, **options)
            memory.move_to_end(key)
            while len(memory) > most:
                memory.popitem(last=False)
            return memory[key]

        call.forget = memory.clear
        return call

    return around


def fingerprint(thing) -> str:
    """Hash (hex) of what a thing holds: a number, text, tensor, array, module, function, anything with a `fingerprint` of its
    own (models, data sets), and lists, dictionaries and dataclasses of these.

    >>> fingerprint([1, "a"]) == fingerprint([1, "a"]) != fingerprint([1, "b"])
    True

    Raises ClipkitError for anything else.
    """
    return _hash(thing)


def _hash(thing) -> str:
    total = hashlib.sha256()
    _add(total, thing)
    return total.hexdigest()


def _add(total, thing) -> None:
    if thing is None or isinstance(thing, (bool, int, float, complex, str, bytes, torch.device, torch.dtype, np.generic)):
        total.update(f"{type(thing).__name__} {thing!r};".encode())
    elif isinstance(thing, (Tensor, np.ndarray)):
        array = thing if isinstance(thing, np.ndarray) else _bits(thing)
        if array.dtype == object:
            return _add(total, array.tolist())
        total.update(f"{getattr(thing, 'dtype', '')} {tuple(thing.shape)};".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    elif isinstance(getattr(thing, "fingerprint", None), str):
        total.update(f"{type(thing).__qualname__} {thing.fingerprint};".encode())
    elif isinstance(thing, nn.Module):
        total.update(repr(thing).encode())
        _add(total, dict(thing.state_dict()))
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        total.update(type(thing).__qualname__.encode())
        _add(total, {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)})
    elif isinstance(thing, Mapping):
        total.update(f"{{{len(thing)}".encode())
        for key in sorted(thing, key=repr):
            _add(total, key)
            _add(total, thing[key])
    elif isinstance(thing, (set, frozenset)):
        _add(total, sorted(map(_hash, thing)))
    elif isinstance(thing, (list, tuple, range)):
        total.update(f"[{len(thing)}".encode())
        for one in thing:
            _add(total, one)
    elif callable(thing):
        if getattr(thing, "__closure__", None):
            raise ClipkitError(f"{thing!r} closes over values, which no fingerprint can see; give them as inputs")
        _add(total, _code(thing))
    else:
        raise ClipkitError(f"a {type(thing).__name__} has no fingerprint; give numbers, texts, tensors, models or data sets")


def _code(function: Callable) -> list[str]:
    from clipkit.definitions import reached_by

    with _reading:
        return sorted(reached_by(function).digests)


def _bits(x: Tensor) -> np.ndarray:
    x = x.detach().cpu().contiguous()
    return x.view(torch.int16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def _parts(value, tensors: dict[str, Tensor]):
    """A JSON tree of a value; its tensors go into `tensors`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Tensor, np.ndarray)):
        kind, name = ("tensor", "array")[isinstance(value, np.ndarray)], f"{len(tensors):06d}"
        tensors[name] = torch.from_numpy(value.copy()) if kind == "array" else value.detach().cpu().clone()  # no two share memory
        return {kind: name}
    if isinstance(value, Mapping):
        return {"dict": [[_parts(k, tensors), _parts(v, tensors)] for k, v in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_parts(v, tensors) for v in value]}
    raise ClipkitError(f"a {type(value).__name__} cannot be kept; keep its tensors, numbers and texts, and make it of them afterwards")


def _joined(tree, tensors: Mapping[str, Tensor]):
    if not isinstance(tree, dict):
        return tree
    [(kind, held)] = tree.items()
    if kind in ("tensor", "array"):
        return tensors[held] if kind == "tensor" else tensors[held].numpy()
    if kind == "dict":
        return {_joined(k, tensors): _joined(v, tensors) for k, v in held}
    return (tuple if kind == "tuple" else list)(_joined(v, tensors) for v in held)


def write_tensors(folder: Path, stem: str, tensors: dict[str, Tensor], facts: dict) -> tuple[Path, str]:
    """Write one safetensors file `<stem>-<hash>.safetensors`; returns its path and the SHA-256 of its bytes. Raises OSError."""
    data = save({k: t.contiguous() for k, t in tensors.items()}, {"facts": json.dumps(facts, sort_keys=True)})
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{stem}-{digest[:16]}.safetensors"
    write_atomically(path, data)
    return path, digest


def find_tensors(folder: Path, stem: str, key: str) -> Path | None:
    """A whole file `<stem>-*.safetensors` that was made for `key`, or None."""
    for path in sorted(folder.glob(f"{stem}-*.safetensors")):
        if is_whole(path) and read_facts(path).get("key") == key:
            return path
    return None


def is_whole(path: Path) -> bool:
    """Whether a file's bytes still have the hash in its name; hashed once a process as long as the file does not change."""
    try:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        if _verified.get(str(path)) == stamp:
            return True
        whole = hash_file(path).startswith(path.stem.rpartition("-")[2])
    except OSError:
        return False
    if whole:
        _verified[str(path)] = stamp
    else:
        log.warning("%s is damaged; what it held is computed again", path)
    return whole


def read_facts(path: Path) -> dict:
    """What a file of tensors says of itself; empty when it cannot be read."""
    try:
        with safe_open(path, "pt") as stored:
            return json.loads((stored.metadata() or {}).get("facts", "{}"))
    except (OSError, SafetensorError, ValueError):
        return {}
