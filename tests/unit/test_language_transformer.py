"""Encoder and decoder: torch's own layer, causality, padding, the cache, beams against a full search, and what is refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from clipkit.errors import ClipkitError
from clipkit.language import Encoder, TextDecoder

V, W, LENGTH = 11, 16, 9


def seeded(make, seed=0, dtype=torch.float64, scale=0.3):
    """A module in evaluation with weights large enough that the words matter."""
    torch.manual_seed(seed)
    module = make().to(dtype).eval()
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim > 1:
                p.normal_(std=scale)
    return module


def decoder(seed=0, v=V, memory_width=None, dtype=torch.float64, scale=0.5):
    return seeded(lambda: TextDecoder(v, W, 2, 4, LENGTH, memory_width), seed, dtype, scale)


def torch_layer(block):
    """torch's pre-LN layer with the weights of one of our encoder blocks."""
    a = block.attend_self
    layer = nn.TransformerEncoderLayer(W, 4, 4 * W, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(torch.cat([a.query.weight, a.key_value.weight]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([a.query.bias, a.key_value.bias]))
        layer.self_attn.out_proj.load_state_dict(a.out.state_dict())
        layer.linear1.load_state_dict(block.mlp[0].state_dict())
        layer.linear2.load_state_dict(block.mlp[2].state_dict())
        layer.norm1.load_state_dict(block.norm_self.state_dict())
        layer.norm2.load_state_dict(block.norm_mlp.state_dict())
    return layer


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_encoder_equals_torchs_layers(causal, masked):
    encoder = seeded(lambda: Encoder(W, 2, 4, causal))
    x = torch.randn(3, 5, W, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]]) if masked else None
    want = x
    for block in encoder.blocks:
        want = torch_layer(block)(
            want,
            src_mask=nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64) if causal else None,
            src_key_padding_mask=torch.zeros(3, 5, dtype=torch.float64).masked_fill(~mask, -torch.inf) if masked else None,
        )
    real = torch.ones(3, 5, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(encoder(x, mask)[real], encoder.norm(want)[real], atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_changes_nothing(dtype):
    encoder, text = seeded(lambda: Encoder(W, 2, 4), dtype=dtype), decoder(dtype=dtype)
    x, tokens = torch.randn(2, 4, W, dtype=dtype), torch.tensor([[1, 5, 6, 2], [1, 7, 8, 2]])
    longer = torch.cat([x, 100 * torch.randn(2, 3, W, dtype=dtype)], 1)
    mask = (torch.arange(7) < 4).expand(2, -1)
    tolerance = {"atol": 1e-10 if dtype == torch.float64 else 2e-4, "rtol": 0}
    torch.testing.assert_close(encoder(longer, mask)[:, :4], encoder(x), **tolerance)
    torch.testing.assert_close(text.logits(tokens, longer, mask), text.logits(tokens, x), **tolerance)
    padded = torch.cat([tokens, torch.zeros(2, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(text.logprobs(padded, x)[:, :4], text.logprobs(tokens, x), **tolerance)
    assert (text.logprobs(padded, x)[:, 4:] == 0).all() and (text.logprobs(padded, x)[:, 0] == 0).all()


def test_each_text_is_alone_in_its_batch():
    encoder, text = seeded(lambda: Encoder(W, 2, 4)), decoder()
    x, tokens = torch.randn(3, 4, W, dtype=torch.float64), torch.randint(3, V, (3, 6))
    torch.testing.assert_close(encoder(x)[1:2], encoder(x[1:2]))
    torch.testing.assert_close(text.logits(tokens, x)[1:2], text.logits(tokens[1:2], x[1:2]))


@pytest.mark.parametrize("place", [1, 3, 5])
def test_a_later_word_changes_no_earlier_score(place):
    text, causal = decoder(), seeded(lambda: Encoder(W, 2, 4, causal=True))
    tokens, memory = torch.randint(3, V, (2, 6)), torch.randn(2, 3, W, dtype=torch.float64)
    other = tokens.clone()
    other[:, place] = (tokens[:, place] - 2) % (V - 3) + 3
    a, b = text.logits(tokens, memory), text.logits(other, memory)
    torch.testing.assert_close(a[:, :place], b[:, :place])
    assert (a[:, place:] - b[:, place:]).abs().amax(-1).min() > 1e-6
    x = torch.randn(2, 6, W, dtype=torch.float64)
    y = x.clone()
    y[:, place] += torch.randn(2, W, dtype=torch.float64)
    torch.testing.assert_close(causal(x)[:, :place], causal(y)[:, :place])
    assert not torch.allclose(causal(x, causal=False)[:, 0], causal(y, causal=False)[:, 0])


def test_probabilities_sum_to_one_over_all_texts():
    text = decoder(v=5)
    memory = torch.randn(1, 2, W, dtype=torch.float64)
    every = torch.tensor([[1, *words] for words in itertools.product(range(1, 5), repeat=3)])  # without padding
    missing = text.logits(every[:, :3], memory.expand(len(every), -1, -1)).log_softmax(-1)[..., 0].exp()
    total = text.logprobs(every, memory.expand(len(every), -1, -1)).sum(1).exp().sum()
    with_pad = 1 - missing.new_tensor(_mass_through_padding(text, memory))
    torch.testing.assert_close(total, with_pad)


def _mass_through_padding(text, memory):
    """Probability that one of three words is <pad>, by hand."""
    mass, stack = 0.0, [([1], 1.0)]
    while stack:
        words, p = stack.pop()
        if len(words) == 4:
            continue
        q = text.logits(torch.tensor([words]), memory)[0, -1].softmax(-1).tolist()
        mass += p * q[0]
        stack += [([*words, w], p * q[w]) for w in range(1, 5)]
    return mass


def uncached(text, memory, mask, bos, eos, max_length):
    """Greedy decoding that reads the whole text again at each word."""
    tokens = torch.full((len(memory), 1), bos)
    done = torch.zeros(len(memory), dtype=torch.bool)
    while tokens.shape[1] < max_length and not done.all():
        scores = text.logits(tokens, memory, mask)[:, -1]
        scores[:, [0, bos]] = -torch.inf
        word = torch.where(done, 0, scores.argmax(-1))
        tokens, done = torch.cat([tokens, word[:, None]], 1), done | (word == eos)
    return tokens


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("masked", [False, True])
def test_cached_decoding_equals_uncached(seed, masked):
    text = decoder(seed, memory_width=6)
    memory = torch.randn(12, 3, 6, dtype=torch.float64)
    mask = torch.rand(12, 3) < 0.5
    mask[:, 0] = True
    mask = mask if masked else None
    got = text.generate(memory, 1, 2, memory_mask=mask)
    assert torch.equal(got, uncached(text, memory, mask, 1, 2, LENGTH))
    assert torch.equal(got, text.generate(memory, 1, 2, how="beam", beams=1, memory_mask=mask)[:, : got.shape[1]])


def test_a_cache_of_any_cut_gives_the_same_scores():
    text, memory = decoder(), torch.randn(3, 4, W, dtype=torch.float64)
    tokens = torch.randint(3, V, (3, 8))
    want = text.logits(tokens, memory)
    for cut in (1, 3, 7):
        first, cache = text._forward(tokens[:, :cut], text._start(memory), None)
        rest, _ = text._forward(tokens[:, cut:], cache, None)
        torch.testing.assert_close(torch.cat([first, rest], 1), want)


def test_every_beam_kept_is_an_exact_search():
    text, limit = decoder(3, v=6), 5
    memory = torch.randn(4, 2, W, dtype=torch.float64)
    texts = []
    for n in range(limit - 1):
        texts += [[1, *w, 2] + [0] * (limit - 2 - n) for w in itertools.product((3, 4, 5), repeat=n)]
    texts += [[1, *w] for w in itertools.product((3, 4, 5), repeat=limit - 1)]
    every = torch.tensor(texts)
    finished = torch.tensor([2 in t for t in texts])
    for penalty in (0.0, 1.0):
        got = text.generate(memory, max_length=limit, how="beam", beams=200, length_penalty=penalty)
        for i in range(4):
            scores = sayable_logprobs(text, every, memory[i : i + 1]) / (every != 0).sum(1) ** penalty
            best = every[scores.masked_fill(~finished, -torch.inf).argmax()]
            assert got[i].tolist() == best[: got.shape[1]].tolist() and (best[got.shape[1] :] == 0).all()


def sayable_logprobs(text, tokens, memory):
    """Log-probability of each text where <pad> and <bos> cannot be said."""
    scores = text.logits(tokens[:, :-1], memory.expand(len(tokens), -1, -1)).clone()
    scores[..., :2] = -torch.inf
    found = scores.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return found.masked_fill(tokens[:, 1:] == 0, 0).sum(1)


def test_more_beams_find_likelier_texts():
    gained = []
    for seed in range(6):
        text, memory = decoder(seed, scale=0.4), torch.randn(32, 3, W, dtype=torch.float64)
        values = []
        for beams in (1, 8):
            tokens = text.generate(memory, how="beam", beams=beams)
            values.append(torch.stack([sayable_logprobs(text, t[None], m[None])[0] for t, m in zip(tokens, memory, strict=True)]))
        ended = (text.generate(memory) == 2).any(1)  # a greedy text that never ends is no rival
        gained.append((values[1] - values[0])[ended])
    gained = torch.cat(gained)
    assert gained.mean() > 0 and (gained >= -1e-9).double().mean() > 0.9


def test_samples_follow_the_probabilities():
    text, n = decoder(2, v=6, scale=0.25), 20_000
    memory = torch.randn(1, 2, W, dtype=torch.float64).expand(n, -1, -1)
    tokens = text.generate(memory, how="sample", max_length=3, generator=torch.Generator().manual_seed(0))
    for first in (2, 3, 4, 5):
        want = sayable_logprobs(text, torch.tensor([[1, first]]), memory[:1]).exp().item()
        assert abs((tokens[:, 1] == first).double().mean().item() - want) < 0.015
    again = text.generate(memory, how="sample", max_length=3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tokens, again)
    cold = text.generate(memory[:50], how="sample", temperature=1e-4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cold, text.generate(memory[:50]))


def test_texts_end_once_and_a_prefix_stays():
    text, memory = decoder(1), torch.randn(64, 3, W, dtype=torch.float64)
    for how in ("greedy", "sample", "beam"):
        tokens = text.generate(memory, how=how)
        assert (tokens[:, 0] == 1).all() and (tokens[:, 1:] != 1).all() and tokens.shape[1] <= LENGTH
        for row in tokens.tolist():
            assert 2 not in row or set(row[row.index(2) + 1 :]) <= {0}
            assert 2 in row or 0 not in row
        prefix = torch.tensor([[1, 7, 8]]).repeat(64, 1)
        assert torch.equal(text.generate(memory, how=how, prefix=prefix)[:, :3], prefix)


def test_without_memory_it_is_a_language_model():
    text = decoder()
    tokens = torch.randint(3, V, (2, 5))
    assert text.logits(tokens).shape == (2, 5, V)
    assert not torch.allclose(text.logits(tokens), text.logits(tokens, torch.randn(2, 3, W, dtype=torch.float64)))
    assert text.generate(None).shape[0] == 1


def test_gradients_reach_every_weight_and_the_memory():
    text = decoder().train()
    memory = torch.randn(2, 3, W, dtype=torch.float64, requires_grad=True)
    (-text.logprobs(torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]]), memory).sum()).backward()
    assert memory.grad.abs().sum() > 0
    assert all(p.grad is not None for p in text.parameters())


def test_it_learns_to_copy_a_word_from_memory():
    torch.manual_seed(0)
    text = TextDecoder(20, 32, 1, 2, 3, memory_width=8)
    table = torch.randn(20, 8)
    optimiser = torch.optim.AdamW(text.parameters(), lr=1e-2)
    for _ in range(150):
        words = torch.randint(3, 20, (64,))
        loss = -text.logprobs(torch.stack([torch.ones_like(words), words], 1), table[words][:, None]).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    words = torch.arange(3, 20)
    got = text.generate(table[words][:, None], max_length=2)[:, 1]
    assert (got == words).double().mean() > 0.9


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t, m: t.logits(torch.ones(2, LENGTH + 1, dtype=torch.long), m), "longer than"),
        (lambda t, m: t.logits(torch.full((2, 3), V), m), "outside the vocabulary"),
        (lambda t, m: t.logits(torch.ones(2, 3), m), "integers"),
        (lambda t, m: t.logits(torch.ones(3, 3, dtype=torch.long), m), "memory should be"),
        (lambda t, m: t.logits(torch.ones(2, 3, dtype=torch.long), m, torch.zeros(2, 4, dtype=torch.bool)), "without a real token"),
        (lambda t, m: t.logits(torch.ones(2, 3, dtype=torch.long), m, torch.ones(2, 4)), "boolean"),
        (lambda t, m: t.generate(m, how="top"), "unknown way"),
        (lambda t, m: t.generate(m, how="sample", temperature=0), "must be positive"),
        (lambda t, m: t.generate(m, max_length=LENGTH + 1), "at most"),
        (lambda t, m: t.generate(m, max_length=1), "above"),
        (lambda t, m: Encoder(W, 1, 3), "cannot be divided"),
        (lambda t, m: Encoder(W, 1, 4)(m[..., :4].float()), "takes embeddings"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ClipkitError, match=message):
        call(decoder(), torch.randn(2, 4, W, dtype=torch.float64))
