"""Checkpoint files of open_clip models: read, compared with the architecture, refused in one sentence."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from clipkit.errors import ClipkitError

# Published families trained with QuickGELU; recognised by the path of the file (hub caches keep the name).
QUICK_GELU_ORIGINS = ("openai", "metaclip_400m", "metaclip_fullcc", "dfn2b", "dfn5b", "quickgelu", "laion400m")


def uses_quick_gelu(module: nn.Module) -> bool:
    """Whether any activation of the model is QuickGELU."""
    return any(type(m).__name__ == "QuickGELU" for m in module.modules())


def needs_quick_gelu(path: Path) -> bool:
    """Whether the last four parts of the path name a family trained with QuickGELU."""
    name = "/".join(path.resolve().parts[-4:]).lower().replace("-", "_")
    return any(origin in name for origin in QUICK_GELU_ORIGINS)


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive (the format of OpenAI's own releases)."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith("constants.pkl") for n in archive.namelist())


def file_preprocessing(open_clip, architecture: str, path: Path) -> tuple[dict, str]:
    """Preprocessing for a local file, as options of open_clip's factory, and a sentence saying whence.

    Order: `open_clip_config.json` beside the file; what all published tags of the architecture agree on;
    open_clip's default.
    """
    beside = path.parent / "open_clip_config.json"
    keys = ("mean", "std", "interpolation", "resize_mode")
    if beside.is_file():
        try:
            cfg = json.loads(beside.read_text(encoding="utf-8")).get("preprocess_cfg", {})
        except (ValueError, AttributeError) as error:
            raise ClipkitError(f"{beside} is not a valid open_clip configuration; mend or remove it") from error
        return {f"image_{k}": cfg[k] for k in keys if k in cfg}, "preprocessing from open_clip_config.json beside the checkpoint"
    published = [open_clip.pretrained.get_pretrained_cfg(architecture, t) for t in open_clip.list_pretrained_tags_by_model(architecture)]
    choices = {json.dumps({k: t.get(k) for k in keys}) for t in published}
    if len(choices) == 1:
        cfg = {k: v for k, v in json.loads(choices.pop()).items() if v is not None}
        return {
            f"image_{k}": cfg[k] for k in cfg
        }, f"preprocessing from the architecture: all published weights of {architecture} agree on it"
    return {}, f"preprocessing is open_clip's default for {architecture} (OpenAI mean and std); check that the weights were trained so"


def _read(path: Path) -> dict:
    """What the file holds: a state dictionary, or one somewhere inside what a trainer saved."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if is_torchscript(path):
            with warnings.catch_warnings():  # the format is out of fashion, the files are not
                warnings.simplefilter("ignore", DeprecationWarning)
                state = torch.jit.load(str(path), map_location="cpu").float().state_dict()
            return {k: v for k, v in state.items() if k not in ("input_resolution", "context_length", "vocab_size")}
        return load_file(str(path)) if path.suffix == ".safetensors" else torch.load(str(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ClipkitError(
            f"{path} is damaged or holds more than tensors, which is not read for safety; download it again or save a state dict"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, StopIteration) as error:
        size = path.stat().st_size
        raise ClipkitError(f"{path} is not a readable checkpoint ({size:,} bytes; truncated?); copy or download it again") from error


_WRAPPED = ("state_dict", "model_state_dict", "model", "module", "net", "clip")  # where trainers put the weights, the likelier first
_ANCHOR = "logit_scale"  # the one key that every CLIP has at its top


def unwrapped(content: object, where: str, anchor: str = _ANCHOR) -> tuple[dict, list[str]]:
    """(state dictionary with the keys of a bare model, sentences on what was taken off and left out).

    Takes the dictionary out of what a trainer saved (`{"model": …, "epoch": 3}`), and prefixes off its keys: those of torch.compile
    (`_orig_mod.`, anywhere), of data parallel training (`module.`), of Lightning (`model.`) and any other that stands before
    `anchor`. Keys that do not have the prefix are not the model's (a loss's, a teacher's) and are left out.

    Raises ClipkitError: no tensors in it, or several models of which none is the usual one.
    """
    notes: list[str] = []
    state = content
    for _ in range(3):  # {"checkpoint": {"model": …}}
        if isinstance(state, dict) and any(torch.is_tensor(value) for value in state.values()):
            break
        inside = {k: v for k, v in state.items() if isinstance(v, dict) and v} if isinstance(state, dict) else {}
        likely = [k for k in _WRAPPED if k in inside] or [k for k, v in inside.items() if _ends(v, anchor)]
        likely = likely or [k for k, v in inside.items() if any(word in v for word in _WRAPPED)]
        if not likely:
            kind = f"keys {', '.join(map(str, list(state)[:5]))}" if isinstance(state, dict) else f"a {type(state).__name__}"
            raise ClipkitError(f"{where} holds no weights ({kind}); save the model's state_dict()")
        if likely[0] not in _WRAPPED and len(likely) > 1:
            raise ClipkitError(f"{where} holds several models ({', '.join(likely)}); save the one that is meant by itself")
        others = [k for k, v in inside.items() if k != likely[0] and _ends(v, anchor)]
        if others:
            notes.append(f"of the weights in the file those under {likely[0]!r} are used, not those under {', '.join(map(repr, others))}")
        state = state[likely[0]]
    state = {key.replace("_orig_mod.", ""): value for key, value in state.items() if torch.is_tensor(value)}
    prefixes = {key[: -len(anchor)] for key in _ends(state, anchor)}
    if prefixes and "" not in prefixes:
        prefix = _one_prefix(prefixes, where)
        left = [key for key in state if not key.startswith(prefix)]
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if left:
            notes.append(f"{len(left)} weights of the file lack the model's prefix {prefix!r} and were left out, first {left[0]}")
    return state, notes


def _ends(state: dict, anchor: str) -> list[str]:
    """Keys that are the anchor, or end in it after a dot."""
    return [key for key in state if isinstance(key, str) and f".{key}".endswith(f".{anchor}")]


def _one_prefix(prefixes: set[str], where: str) -> str:
    """The prefix of the model among several; the usual ones win over a teacher's or an average's."""
    usual = [p for p in ("module.", "model.", "module.model.", "clip.", "model.clip.", "net.") if p in prefixes]
    if len(prefixes) > 1 and not usual:
        raise ClipkitError(f"{where} holds several models ({', '.join(sorted(prefixes))}); save the one that is meant by itself")
    return usual[0] if usual else min(prefixes)


def load_weights(module: nn.Module, path: Path, architecture: str) -> list[str]:
    """Put the file's weights into the model, or raise ClipkitError naming the first keys that do not fit.

    Returns: sentences on what in the file was not used (see `unwrapped`).

    Unlike open_clip's own loader it never interpolates position embeddings to make a file of another image
    size fit: the features would not be those of either model.
    """
    from open_clip.convert import convert_state_dict, load_big_vision_weights
    from open_clip.model import convert_to_custom_text_state_dict

    if path.suffix in (".npz", ".npy"):
        try:
            load_big_vision_weights(module, str(path))
        except Exception as error:  # any shape or key surprise inside numpy
            raise ClipkitError(f"{path.name} does not hold big_vision weights for {architecture}") from error
        return []
    state, notes = unwrapped(_read(path), path.name)
    state = convert_state_dict(module, state)
    if "positional_embedding" in state and not hasattr(module, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    state.pop("text.transformer.embeddings.position_ids", None)
    own = module.state_dict()
    for key in ("logit_scale", "logit_bias"):  # scalar or of shape (1,), as the trainer liked it
        if key in state and key in own and state[key].numel() == 1:
            state[key] = state[key].reshape(own[key].shape)
    wrong = [f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}" for k in own if k in state and state[k].shape != own[k].shape]
    missing = [k for k in own if k not in state]
    extra = [k for k in state if k not in own]
    complaints = [
        f"{len(found)} {what}, first {', '.join(found[:2])}"
        for what, found in (("of another shape", wrong), ("missing", missing), ("unknown", extra))
        if found
    ]
    if complaints:
        raise ClipkitError(f"{path.name} does not fit {architecture} ({'; '.join(complaints)}); name the architecture it was trained with")
    module.load_state_dict(state)
    return notes
