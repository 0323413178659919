"""The two halves of a small transformer: `Encoder` over embeddings and `TextDecoder` over words.

Pre-LN blocks (layer norm before each part, a last one after all), GELU, learned positions in the decoder; attention is
torch's `scaled_dot_product_attention`. Masks are boolean, True where a token is *real*.

Letters in shapes: B texts, L tokens, S tokens of the memory (image patches, words of the source), W width, V words.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError, unknown

HOW = ("greedy", "sample", "beam")
State = tuple[Tensor, Tensor]  # keys and values (B, heads, L, W / heads)


class LayerState(NamedTuple):
    """What one decoder layer keeps between steps: keys and values of the words so far, and of the memory."""

    words: State
    memory: State | None


class Attention(nn.Module):
    """Multi-head attention of queries (B, L, W) to `source` (B, S, source_width)."""

    def __init__(self, width: int, heads: int, source_width: int | None = None, dropout: float = 0.0):
        super().__init__()
        if width % heads:
            raise ClipkitError(f"a width of {width} cannot be divided among {heads} heads; choose a divisor")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source_width or width, 2 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, L, W) -> (B, heads, L, W / heads)

    def state(self, source: Tensor) -> State:
        keys, values = self.key_value(source).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, x: Tensor, state: State, allowed: Tensor | None = None, causal: bool = False) -> Tensor:
        """`allowed` (B or 1, 1, L, S) bool: which source tokens each query may see."""
        drop = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(self._split(self.query(x)), *state, attn_mask=allowed, dropout_p=drop, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Self-attention, attention to a memory if `memory_width` is given, and a two-layer network; each adds to its input."""

    def __init__(self, width: int, heads: int, memory_width: int | None = None, dropout: float = 0.0):
        super().__init__()
        self.norm_self, self.attend_self = nn.LayerNorm(width), Attention(width, heads, dropout=dropout)
        self.crosses = memory_width is not None
        if self.crosses:
            self.norm_memory, self.attend_memory = nn.LayerNorm(width), Attention(width, heads, memory_width, dropout)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        allowed: Tensor | None = None,
        causal: bool = False,
        past: LayerState | None = None,
        memory: State | None = None,
        memory_allowed: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        h = self.norm_self(x)
        state = self.attend_self.state(h)
        if past is not None:
            state = torch.cat([past.words[0], state[0]], dim=2), torch.cat([past.words[1], state[1]], dim=2)
        x = x + self.drop(self.attend_self(h, state, allowed, causal))
        if memory is not None:
            x = x + self.drop(self.attend_memory(self.norm_memory(x), memory, memory_allowed))
        return x + self.drop(self.mlp(self.norm_mlp(x))), state


def _allowed(mask: Tensor | None, length: int, causal: bool, device: torch.device) -> Tensor | None:
    """(B, 1, L, L): real tokens, the past only if causal, and always the token itself (so that no row is empty)."""
    if mask is None:
        return None
    allowed = mask[:, None, None, :].expand(-1, 1, length, -1)
    if causal:
        allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return allowed | torch.eye(length, dtype=torch.bool, device=device)


def _checked_mask(mask: Tensor | None, shape: tuple[int, int], name: str) -> Tensor | None:
    if mask is None:
        return None
    if mask.dtype != torch.bool or tuple(mask.shape) != shape:
        raise ClipkitError(f"{name} is a boolean tensor {shape}, True where a token is real; got {mask.dtype} {tuple(mask.shape)}")
    if not bool(mask.any(dim=1).all()):
        raise ClipkitError(f"{name} has a row without a real token; keep at least one (the <bos> of an empty text)")
    return mask


class Encoder(nn.Module):
    """Self-attention layers over embeddings. Positions are the caller's: add them to the embeddings.

    Args:
        width: W. layers: number of blocks. heads: divides W.
        causal: each token sees itself and the tokens before it.

    Source: arXiv:1706.03762; layer norm first as in arXiv:2002.04745.
    """

    def __init__(self, width: int, layers: int, heads: int, causal: bool = False, dropout: float = 0.0):
        super().__init__()
        self.width, self.causal = width, causal
        self.blocks = nn.ModuleList(Block(width, heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool | None = None) -> Tensor:
        """Embeddings (B, L, W) to (B, L, W).

        Args:
            mask: (B, L) bool, True where a token is real; what stands at padding places in the result means nothing.
            causal: overrides that of the constructor.

        Raises: ClipkitError for another width, or a mask of another shape.
        """
        if x.ndim != 3 or x.shape[-1] != self.width:
            raise ClipkitError(f"this encoder takes embeddings (B, L, {self.width}), got {tuple(x.shape)}")
        causal = self.causal if causal is None else causal
        mask = _checked_mask(mask, tuple(x.shape[:2]), "mask")
        allowed = _allowed(mask, x.shape[1], causal, x.device)
        for block in self.blocks:
            x, _ = block(x, allowed, causal and allowed is None)
        return self.norm(x)


class TextDecoder(nn.Module):
    """Words one after the other, each given those before it and a memory (B, S, memory_width), or no memory at all.

    The output layer is the embedding table (tied). Without a memory the same weights are a language model: the attention to
    it is left out.

    Args:
        vocab_size: V. width: W. layers, heads: of the blocks. length: longest text, `<bos>` and `<eos>` counted.
        memory_width: width of the memory's tokens; None: W.
        pad: token that is padding (0 in a WordVocabulary).
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        layers: int,
        heads: int,
        length: int,
        memory_width: int | None = None,
        pad: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.vocab_size, self.width, self.length, self.pad = vocab_size, width, length, pad
        self.memory_width = memory_width or width
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(Block(width, heads, self.memory_width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.02)

    # One pass over all words -------------------------------------------------------------------

    def logits(self, tokens: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None) -> Tensor:
        """Scores (B, L, V) of the *next* word at each place of tokens (B, L). Gradients flow to the memory too.

        Args:
            memory: (B, S, memory_width), or None. memory_mask: (B, S) bool, True where a memory token is real.

        Raises: ClipkitError for tokens longer than `length` or outside the vocabulary, and for a memory that does not fit.
        """
        self._check(tokens, memory)
        return self._forward(tokens, self._start(memory), self._memory_allowed(memory, memory_mask))[0]

    forward = logits

    def logprobs(self, tokens: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None) -> Tensor:
        """Log-probability (B, L) of each token given those before it: 0 for the first (`<bos>` is given) and for padding."""
        scores = _exact(self.logits(tokens[:, :-1], memory, memory_mask)).log_softmax(-1)
        found = scores.gather(-1, tokens[:, 1:, None]).squeeze(-1)
        return F.pad(found.masked_fill(tokens[:, 1:] == self.pad, 0.0), (1, 0))

    # One word at a time ------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        memory: Tensor | None,
        bos: int = 1,
        eos: int = 2,
        max_length: int | None = None,
        how: str = "greedy",
        temperature: float = 1.0,
        beams: int = 4,
        generator: torch.Generator | None = None,
        memory_mask: Tensor | None = None,
        prefix: Tensor | None = None,
        length_penalty: float = 0.0,
    ) -> Tensor:
        """Texts (B, L) with L ≤ max_length, `<bos>` first, padded after `<eos>`. `<pad>` and `<bos>` are never said.

        Args:
            max_length: longest text, `<bos>` and `<eos>` counted; None: the decoder's `length`.
            how: "greedy"; "sample" from the distribution at `temperature`; or "beam", which keeps the `beams` best beginnings
                and returns the finished text with the highest log-probability / length ** length_penalty.
            prefix: tokens (B, P) every text begins with, `<bos>` included; without it B is that of the memory (1 without memory).

        Raises: ClipkitError for an unknown `how`, a temperature or number of beams that is not positive, a length that does not fit.
        """
        if how not in HOW:
            raise unknown("way to generate", how, HOW)
        if temperature <= 0 or beams < 1:
            raise ClipkitError(f"temperature and beams must be positive, got {temperature} and {beams}; for no randomness use how='greedy'")
        max_length = self.length if max_length is None else max_length
        if prefix is None:
            prefix = torch.full((1 if memory is None else len(memory), 1), bos, device=self.positions.device)
        if not prefix.shape[1] < max_length <= self.length:
            raise ClipkitError(f"max_length must be above {prefix.shape[1]} and at most {self.length}, got {max_length}")
        self._check(prefix, memory)
        allowed = self._memory_allowed(memory, memory_mask)
        if how == "beam":
            return self._beam(memory, allowed, prefix, bos, eos, max_length, beams, length_penalty)
        tokens, cache, new = prefix, self._start(memory), prefix
        done = torch.zeros(len(prefix), dtype=torch.bool, device=prefix.device)
        while tokens.shape[1] < max_length and not bool(done.all()):
            scores, cache = self._forward(new, cache, allowed)
            scores = self._sayable(_exact(scores[:, -1]), bos)
            if how == "greedy":
                word = scores.argmax(-1)
            else:
                word = torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator)[:, 0]
            word = torch.where(done, self.pad, word)
            done = done | (word == eos)
            new = word[:, None]
            tokens = torch.cat([tokens, new], dim=1)
        return tokens

    def _beam(
        self,
        memory: Tensor | None,
        allowed: Tensor | None,
        prefix: Tensor,
        bos: int,
        eos: int,
        max_length: int,
        beams: int,
        length_penalty: float,
    ) -> Tensor:
        B, device = len(prefix), prefix.device
        scores, cache = self._forward(prefix, self._start(memory), allowed)
        cache = [_rows(layer, torch.arange(B, device=device).repeat_interleave(beams)) for layer in cache]
        allowed = None if allowed is None else allowed.repeat_interleave(beams, 0)
        tokens = prefix.repeat_interleave(beams, 0).view(B, beams, -1)
        total = torch.full((B, beams), -torch.inf, device=device)
        total[:, 0] = 0.0  # the beams start equal: only one counts
        done = torch.zeros(B, beams, dtype=torch.bool, device=device)
        scores = scores[:, -1:].expand(-1, beams, -1)
        while True:
            step = self._sayable(_exact(scores), bos).log_softmax(-1)
            stay = torch.full_like(step, -torch.inf)
            stay[..., self.pad] = 0.0
            step = torch.where(done[..., None], stay, step)  # a finished text goes on with padding, at no cost
            length = (tokens != self.pad).sum(-1, keepdim=True) + (~done)[..., None]
            every = (total[..., None] + step).flatten(1)  # (B, beams · V)
            ranked = every / length.expand_as(step).flatten(1) ** length_penalty
            best = ranked.topk(beams, dim=1).indices
            total, parent, word = every.gather(1, best), best // self.vocab_size, best % self.vocab_size
            tokens = torch.cat([tokens.gather(1, parent[..., None].expand(-1, -1, tokens.shape[2])), word[..., None]], dim=2)
            done = (done.gather(1, parent) | (word == eos)) & total.isfinite()
            if tokens.shape[2] >= max_length or bool(done.all()):
                break
            rows = (parent + beams * torch.arange(B, device=device)[:, None]).flatten()
            cache = [_rows(layer, rows) for layer in cache]
            scores, cache = self._forward(word.reshape(-1, 1), cache, allowed)
            scores = scores[:, -1].view(B, beams, -1)
        final = total / (tokens != self.pad).sum(-1) ** length_penalty
        final = final.masked_fill(~done & done.any(1, keepdim=True), -torch.inf)  # an unfinished text only if there is no other
        chosen = tokens[torch.arange(B, device=device), final.argmax(1)]
        longest = int((chosen != self.pad).sum(1).max())
        return chosen[:, :longest]

    # Shared parts ------------------------------------------------------------------------------

    def _start(self, memory: Tensor | None) -> list[State | None]:
        """The memory's keys and values of each layer, computed once a text."""
        return [None if memory is None else block.attend_memory.state(memory) for block in self.blocks]

    def _forward(self, tokens: Tensor, cache: list, memory_allowed: Tensor | None) -> tuple[Tensor, list[LayerState]]:
        """Scores (B, n, V) after n new tokens. `cache` is that of `_start`, or of the last call."""
        past = cache[0].words[0].shape[2] if isinstance(cache[0], LayerState) else 0
        n = tokens.shape[1]
        x = self.embedding(tokens) + self.positions[past : past + n]
        allowed, causal = None, n > 1 and not past
        if n > 1 and past:
            allowed = torch.ones(n, past + n, dtype=torch.bool, device=tokens.device).tril(past)
        states = []
        for block, kept in zip(self.blocks, cache, strict=True):
            layer = kept if isinstance(kept, LayerState) else None
            memory = layer.memory if layer else kept
            x, words = block(x, allowed, causal, layer, memory, memory_allowed)
            states.append(LayerState(words, memory))
        return self.norm(x) @ self.embedding.weight.T, states

    def _sayable(self, scores: Tensor, bos: int) -> Tensor:
        scores = scores.clone()
        scores[..., [self.pad, bos]] = -torch.inf
        return scores

    def _memory_allowed(self, memory: Tensor | None, mask: Tensor | None) -> Tensor | None:
        if memory is None or mask is None:
            return None
        return _checked_mask(mask, tuple(memory.shape[:2]), "memory_mask")[:, None, None, :]

    def _check(self, tokens: Tensor, memory: Tensor | None) -> None:
        if tokens.ndim != 2 or tokens.is_floating_point():
            raise ClipkitError(f"tokens are integers (B, L), got {tokens.dtype} {tuple(tokens.shape)}; use WordVocabulary.encode")
        if tokens.shape[1] > self.length:
            raise ClipkitError(
                f"a text of {tokens.shape[1]} tokens is longer than this decoder's {self.length}; encode with length={self.length}"
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.vocab_size:
            raise ClipkitError(f"a token lies outside the vocabulary of {self.vocab_size}; was the text encoded with another one?")
        if memory is not None and (memory.ndim != 3 or len(memory) != len(tokens) or memory.shape[-1] != self.memory_width):
            raise ClipkitError(f"the memory should be ({len(tokens)}, S, {self.memory_width}), got {tuple(memory.shape)}")


def _exact(scores: Tensor) -> Tensor:
    """Scores of an autocast pass in float32: a logarithm of a probability needs the digits."""
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores


def _rows(layer: LayerState, rows: Tensor) -> LayerState:
    """The cache of other rows of the batch."""
    words = layer.words[0][rows], layer.words[1][rows]
    if layer.memory is not None and len(layer.memory[0]) == len(rows):
        return LayerState(words, layer.memory)  # beams of one text share its memory: the order does not matter
    return LayerState(words, None if layer.memory is None else (layer.memory[0][rows], layer.memory[1][rows]))
