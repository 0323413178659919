"""A text tower that tells captions from spoilt ones, with its head, as one file: the shipped `nano-grammar`."""

from __future__ import annotations

import copy
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.generate.clip_reward import GrammarHead
from clipkit.models.parts import read_part


def load_grammar(clip, name: str = "nano-grammar", folder: str | Path | None = None):
    """(model with the fine-tuned text tower, GrammarHead) for `clip`, which must be the model the tower was tuned from (nano).

    `clip` itself stays as it is. Raises ClipkitError when the file is missing, or its weights do not fit.
    """
    path, header, state = read_part("grammar", name, folder)
    head = GrammarHead(header["grammar"]["dim"])
    head.load_state_dict({k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")})
    tuned = copy.deepcopy(clip)
    own = tuned.module.state_dict()
    text = {k: v for k, v in state.items() if not k.startswith("head.")}
    if any(k not in own or own[k].shape != v.shape for k, v in text.items()):
        raise ClipkitError(f"the text tower in {path.name} does not fit {clip.name}; it was tuned from nano")
    tuned.module.load_state_dict(own | text)
    tuned.name = path.stem
    tuned.module.eval().requires_grad_(False)
    return tuned, head.to(clip.device).eval().requires_grad_(False)
