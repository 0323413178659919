"""A question answerer from `transformers`: log-probability of the first answer token, or of all of them.

Two kinds of model fit: encoder–decoder (InstructBLIP-FlanT5, CLIP-FlanT5) and decoder-only (LLaVA, Qwen-VL and the like). A model
that hides its log-probabilities cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError

# The question of the paper for VQAScore(HFVQA.load(…), PAPER_QUESTION): a large model minds capitals, the world's vocabulary has none.
PAPER_QUESTION = 'Does this figure show "{}"? Please answer yes or no.'
LLAVA_PROMPT = "USER: <image>\n{} ASSISTANT:"


class HFVQA:
    """An Answerer around a `transformers` model and its processor.

    Args:
        model, processor: loaded ones, or use `HFVQA.load(name)`.
        prompt: chat template with one {} for the question and the image token where the model wants it; "chat": the processor's own.
        spellings: for the first token of an answer, all of these forms are tried and the probabilities of *different* tokens summed:
            tokenizers know " Yes", "Yes", "yes" and "YES" as four tokens.

    Nothing is sampled, so no temperature enters. Probabilities are those of the model's full softmax.
    """

    def __init__(
        self,
        model,
        processor,
        prompt: str = LLAVA_PROMPT,
        spellings: Sequence[str] = ("{}", " {}", "{lower}", " {lower}", "{upper}", " {upper}"),
        batch: int = 8,
        name: str = "",
    ):
        if prompt != "chat" and prompt.count("{}") != 1:
            raise ClipkitError(f"the prompt {prompt!r} needs one {{}} where the question goes")
        self.model, self.processor, self.prompt, self.batch = model.eval(), processor, prompt, batch
        self.spellings, self.name = tuple(spellings), name or getattr(model, "name_or_path", "")
        self.tokenizer = getattr(processor, "tokenizer", processor)
        text = getattr(model.config, "text_config", model.config)
        self.reads_first = bool(getattr(model.config, "is_encoder_decoder", False) or getattr(text, "is_encoder_decoder", False))
        self.fingerprint = f"transformers:{self.name}"

    @classmethod
    def load(cls, name: str, device: str = "auto", dtype: str = "auto", **options) -> HFVQA:
        """Weights by name (hub) or folder. Raises ClipkitError when they cannot be had."""
        from clipkit.compat import ensure_torchvision
        from clipkit.devices import resolve_device

        ensure_torchvision()  # transformers' picture processors import it
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            processor = AutoProcessor.from_pretrained(name)
            model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype)
        except (OSError, ValueError, KeyError) as error:
            hint = "give a folder with weights and processor"
            raise ClipkitError(f"{name} cannot be loaded as an image-and-text model: {error}; {hint}") from error
        return cls(model.to(resolve_device(device)), processor, name=name, **options)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def see(self, images: Any) -> list:
        """PIL pictures, as the processor wants them."""
        from PIL import Image

        return [Image.fromarray(i) if isinstance(i, np.ndarray) else i for i in images]

    def _prompt(self, question: str) -> str:
        if self.prompt != "chat":
            return self.prompt.format(question)
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
        return self.processor.apply_chat_template(turn, add_generation_prompt=True)

    def first_tokens(self, answer: str) -> list[int]:
        """Distinct first tokens of the answer's spellings, without those that are unknown to the tokenizer."""
        word, found = answer.capitalize(), []
        for spelling in self.spellings:
            text = spelling.format(word, lower=word.lower(), upper=word.upper())
            ids = self.tokenizer(text, add_special_tokens=False).input_ids
            if ids and ids[0] not in found and ids[0] != self.tokenizer.unk_token_id:
                found.append(ids[0])
        if not found:
            raise ClipkitError(f"this tokenizer knows no spelling of {answer!r}; choose another answer or other spellings")
        return found

    @torch.no_grad()
    def _next(self, images: Sequence, prompts: Sequence[str], label: Sequence[int] = ()) -> Tensor:
        """Log-probabilities (B, len(label) + 1, V) of what follows each prompt, having read the label's tokens one by one."""
        side, self.tokenizer.padding_side = self.tokenizer.padding_side, "left"
        try:
            inputs = self.processor(images=list(images), text=list(prompts), return_tensors="pt", padding=True).to(self.device)
        finally:
            self.tokenizer.padding_side = side
        given = torch.tensor(list(label), dtype=torch.long, device=self.device).expand(len(prompts), -1)
        if self.reads_first:
            text = getattr(self.model.config, "text_config", None)  # InstructBLIP keeps it there
            first = getattr(self.model.config, "decoder_start_token_id", None) or getattr(text, "decoder_start_token_id", None) or 0
            start = torch.full((len(prompts), 1), first, device=self.device)
            logits = self.model(**inputs, decoder_input_ids=torch.cat([start, given], 1)).logits
        else:
            inputs["input_ids"] = torch.cat([inputs["input_ids"], given], 1)
            inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(given)], 1)
            if "token_type_ids" in inputs:
                inputs["token_type_ids"] = torch.cat([inputs["token_type_ids"], torch.zeros_like(given)], 1)
            logits = self.model(**inputs).logits
        return logits[:, -len(label) - 1 :].float().log_softmax(-1).cpu()

    def _batches(self, seen: Sequence, questions: Sequence[str]):
        if len(seen) != len(questions):
            raise ClipkitError(f"{len(questions)} questions about {len(seen)} pictures: give one for each")
        seen = self.see(seen)
        for at in range(0, len(questions), self.batch):
            yield seen[at : at + self.batch], [self._prompt(q) for q in questions[at : at + self.batch]]

    def logprobs(self, seen: Sequence, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """log P(answer's first token, in any spelling), (K, len(answers))."""
        tokens = [self.first_tokens(a) for a in answers]
        if len({i for ids in tokens for i in ids}) < sum(map(len, tokens)):
            raise ClipkitError(f"the answers {list(answers)} begin with the same token; choose answers that differ from the first token on")
        parts = []
        for images, prompts in self._batches(seen, questions):
            after = self._next(images, prompts)[:, 0]
            parts.append(torch.stack([after[:, ids].logsumexp(1) for ids in tokens], 1))
        return torch.cat(parts) if parts else torch.empty(0, len(answers))

    def mean_logprob(self, seen: Sequence, questions: Sequence[str], answer: str) -> Tensor:
        """Mean log-probability (K,) of the answer's tokens and the closing one, as the authors' released score has it."""
        ids = self.tokenizer(answer.capitalize(), add_special_tokens=False).input_ids
        end = self.tokenizer.eos_token_id
        label = [*ids, *([end] if end is not None else [])]
        parts = []
        for images, prompts in self._batches(seen, questions):
            after = self._next(images, prompts, label[:-1])
            parts.append(after.gather(-1, torch.tensor(label).expand(len(prompts), -1)[..., None])[..., 0].mean(1))
        return torch.cat(parts) if parts else torch.empty(0)
