"""Shipped parts that are no dual encoders (captioner, segmenter, writer, answerer …): one file each with a card beside it.

Weights lie in float16 in `<name>.safetensors`; what else is needed to build the module (settings, vocabulary) stands in the
same file's header as JSON, under names of the part's own.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.paths import shipped


def save_part(state: nn.Module | Mapping[str, Tensor], header: Mapping[str, Any], card: dict, folder: str | Path, name: str) -> Path:
    """Write `<name>.safetensors` and `<name>.card.json` in `folder`; returns the first's path.

    Args: state: a module or its state; numbers with a point are stored in float16. header: what JSON can write, by name.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = state.state_dict() if isinstance(state, nn.Module) else state
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, {key: json.dumps(value) for key, value in header.items()})
    (folder / f"{name}.card.json").write_text(json.dumps({"name": name, **card}, indent=1, ensure_ascii=False) + "\n")
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
    from clipkit.datasets.fingerprints import hash_file
    from clipkit.models.base import resolve_device

    path, header, state = read_part(kind, name, folder)
    try:
        module = build(header)
        module.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _not_a_part(kind, path) from error
    module.name, module.fingerprint = path.stem, hash_file(path)
    return module.to(resolve_device(device)).eval()


def part_card(recipe, steps: int, history, settings: Mapping[str, Any], module: nn.Module, device: str, **more) -> dict:
    """What every card of a part says: recipe, training (steps, minutes, last loss, settings), size, versions; then `more`.

    Args: recipe: of `clipkit.recipes.contrastive`. history: what `train` returned. settings: those given to it.
    """
    from clipkit import __version__

    last = history.loss[-50:]
    return {
        "name": recipe.name,
        "note": recipe.note,
        "kind": recipe.kind,
        "training": {
            "steps": steps, "batch": recipe.batch, "minutes": round(history.seconds / 60, 1),
            "final_loss": round(sum(last) / len(last), 3),
            **settings, "seed": recipe.seed, "threads": torch.get_num_threads(), "device": str(device),
        },
        "parameters": sum(p.numel() for p in module.parameters()),
        **more,
        "versions": {"clipkit": __version__, "torch": torch.__version__.split("+")[0], "python": platform.python_version()},
    }  # fmt: skip


def _not_a_part(kind: str, path: Path) -> ClipkitError:
    what = kind.replace("_", " ")
    return ClipkitError(f"{path} holds no {what} that fits; restore it from the repository or run: clipkit pretrain {path.stem}")
