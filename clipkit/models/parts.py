"""Shipped parts that are no dual encoders (captioner, segmenter, writer, answerer …): one file each with a card beside it.

Weights lie in float16 in `<name>.safetensors`; what else is needed to build the module (settings, vocabulary) stands in the
same file's header as JSON, under names of the part's own. Each part's class has that `header`, and a loader beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.paths import shipped


class Savable(Protocol):
    """A module, or what looks like one when it is saved."""

    header: Mapping[str, Any]  # what JSON can write, by names of the part's own; the first is its kind

    def state_dict(self) -> Mapping[str, Tensor]: ...


def save_part(part: Savable, card: dict, folder: str | Path, name: str) -> Path:
    """Write `<name>.safetensors` (numbers with a point in float16) and `<name>.card.json` in `folder`; returns the first's path."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in part.state_dict().items()}
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, {key: json.dumps(value) for key, value in part.header.items()})
    (folder / f"{name}.card.json").write_text(json.dumps({"name": name, **card}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_part(kind: str, name: str, folder: str | Path | None = None) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    """Path, header and float32 state of a shipped part, or of the file at the path `name`.

    Args: kind: a name that the header of such a part has. Raises ClipkitError when the file is missing, damaged, or another part.
    """
    from safetensors import SafetensorError, safe_open

    file_name = f"{name}.safetensors"
    if str(name).endswith(".safetensors"):
        path = Path(name)
    else:
        path = Path(folder) / file_name if folder else shipped("models", file_name)
    try:
        with safe_open(path, "pt") as file:
            header = {key: json.loads(value) for key, value in (file.metadata() or {}).items() if key != "format"}
            if kind not in header:
                raise ValueError(f"no {kind}")
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  not a mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise _not_a_part(kind, path) from error
    return path, header, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def load_part(kind: str, build: Callable[[dict], nn.Module], name: str, device: str = "auto", folder: str | Path | None = None) -> Any:
    """The module that `build` makes of the header, with its weights, in evaluation; `name` and `fingerprint` (of the bytes) are set.

    Raises ClipkitError as `read_part`, and when header and weights do not belong together.
    """
    from clipkit.devices import resolve_device
    from clipkit.paths import hash_file

    path, header, state = read_part(kind, name, folder)
    try:
        module = build(header)
        module.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _not_a_part(kind, path) from error
    module.name, module.fingerprint = path.stem, hash_file(path)
    return module.to(resolve_device(device)).eval()


def _not_a_part(kind: str, path: Path) -> ClipkitError:
    what = kind.replace("_", " ")
    return ClipkitError(f"{path} holds no {what} that fits; restore it from the repository or run: clipkit pretrain {path.stem}")
