"""The one training loop of networks, and `minimise` for small heads and prompts, with the orders their pictures come in.

`train`: AdamW or Muon, warm-up and cosine, clipped gradients, an optional moving average.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from clipkit import checks
from clipkit.errors import ClipkitError


@dataclass
class History:
    """What a run left behind: loss per step, seconds."""

    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> dict[str, float]:
        """What a card says of a run: its minutes, and the mean loss of the last fifty steps."""
        last = self.loss[-50:]
        return {"minutes": round(self.seconds / 60, 1), "final_loss": round(sum(last) / len(last), 3)}


def cosine_schedule(step: int, steps: int, warmup: int = 0, rise: int | None = None) -> float:
    """Learning-rate factor: `warmup` steps of a line that reaches 1 in `rise` steps, then half a cosine down to 0.

    Args: rise: None: as many as `warmup`. Few-shot code takes one more, so that 1 is reached where the cosine begins.

    >>> [round(cosine_schedule(s, 10, 2), 2) for s in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if step < warmup:
        return (step + 1) / (rise or warmup)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@contextmanager
def arithmetic(device_type: str):
    """Matrices in bfloat16. On a CPU attention is spelt out: the fused kernel's backward is five times slower there."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with torch.autocast(device_type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH) if device_type == "cpu" else nullcontext():
        yield


def optimisers(module: nn.Module, lr: float, weight_decay: float, muon_lr: float | None = None) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or, given `muon_lr`, Muon for the matrices inside transformer blocks and AdamW for the rest.

    Muon orthogonalises each matrix's update; on the small ViTs of this book it needs about a third of the pairs.
    Gains, biases and the temperature are never shrunk: decay is for matrices only.
    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; torch.optim.Muon.
    """
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    hidden = [p for n, p in named if muon_lr is not None and p.ndim == 2 and "blocks." in n]
    chosen = {id(p) for p in hidden}
    decay = [p for _, p in named if p.ndim >= 2 and id(p) not in chosen]
    rest = [p for _, p in named if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    out: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6)]
    return [*out, torch.optim.Muon(hidden, lr=muon_lr, weight_decay=weight_decay)] if hidden else out


def train(
    module: nn.Module,
    batches: Iterable,
    loss: Callable[[nn.Module, object], Tensor],
    steps: int,
    lr: float = 1e-3,
    warmup: int | None = None,
    weight_decay: float = 0.1,
    muon_lr: float | None = None,
    clip_norm: float = 1.0,
    ema: float | None = None,
    precision: str = "fp32",
    after_step: Callable[[int, nn.Module, float], None] | None = None,
) -> History:
    """Train `module` in place for `steps` steps.

    Args:
        module: what is trained; parameters with `requires_grad=False` stay as they are.
        batches: an iterable of batches, endless or at least `steps` long.
        loss: (module, batch) -> 0-d tensor. A technique is a loss; the loop knows nothing of it.
        warmup: steps of linear warm-up (default: 5 % of `steps`).
        muon_lr: learning rate of Muon for the matrices of transformer blocks; None for AdamW alone (see `optimisers`).
        ema: decay of a moving average of the weights, copied into `module` at the end; None for none.
        precision: "fp32", or "bf16" for autocast (matrices in bfloat16, weights in float32).
        after_step: called with (step, module, loss) after every step; raise StopIteration to end early.

    Returns: History. Raises: ClipkitError when the loss stops being a number, or the batches run out.
    """
    if precision not in ("fp32", "bf16"):
        raise ClipkitError(f"precision must be 'fp32' or 'bf16', got {precision!r}")
    device = next(module.parameters()).device
    warmup = max(1, steps // 20) if warmup is None else warmup
    engines = optimisers(module, lr, weight_decay, muon_lr)
    groups = [(group, group["lr"]) for engine in engines for group in engine.param_groups]
    trainable = [p for group, _ in groups for p in group["params"]]
    average = copy.deepcopy(module) if ema else None
    history, start = History(), time.perf_counter()
    module.train()
    stream = iter(batches)
    for step in range(steps):
        try:
            batch = next(stream)
        except StopIteration:
            raise ClipkitError(f"the batches ran out after {step} of {steps} steps; give more data or fewer steps") from None
        for group, base in groups:
            group["lr"] = base * cosine_schedule(step, steps, warmup)
        with arithmetic(device.type) if precision == "bf16" else nullcontext():
            value = loss(module, batch)
            if not torch.isfinite(value):
                raise ClipkitError(f"the loss is {value.item()} at step {step}: lower lr (now {lr:g}) or check the data for NaN")
            module.zero_grad(set_to_none=True)
            value.backward()
        nn.utils.clip_grad_norm_(trainable, clip_norm)
        for engine in engines:
            engine.step()
        if average is not None:
            _update_average(average, module, min(ema, (1 + step) / (10 + step)))
        history.loss.append(value.item())
        if after_step is not None:
            try:
                after_step(step, module, history.loss[-1])
            except StopIteration:
                break
    if average is not None:
        module.load_state_dict(average.state_dict())
    module.eval()
    history.seconds = time.perf_counter() - start
    return history


@torch.no_grad()
def _update_average(average: nn.Module, module: nn.Module, decay: float) -> None:
    for a, b in zip(average.parameters(), module.parameters(), strict=True):
        a.lerp_(b, 1 - decay)
    for a, b in zip(average.buffers(), module.buffers(), strict=True):
        a.copy_(b)


def shuffled(n: int, batch: int, generator: torch.Generator | None = None, rest: str = "keep") -> Iterator[Tensor]:
    """Row numbers of n pictures, `batch` at a time and for ever; each round takes all of them in an order of its own.

    Args:
        generator: of the orders; None for torch's own.
        rest: what becomes of rows at a round's end that do not fill a batch: "keep", they are a smaller batch; "drop",
            left out, unless there are fewer than a batch in all; "carry", filled up with rows of the next round.

    >>> rows = shuffled(5, 2, rest="drop")
    >>> [len(next(rows)) for _ in range(4)]
    [2, 2, 2, 2]

    Raises ClipkitError: n or batch below 1, an unknown `rest`.
    """
    checks.at_least(1, pictures=n, batch=batch)
    checks.one_of("treatment of the rest", rest, ("keep", "drop", "carry"))
    left = torch.empty(0, dtype=torch.int64)
    while True:
        order = torch.cat([left, torch.randperm(n, generator=generator)])
        full = len(order) // batch * batch
        yield from order[:full].split(batch) if full else ()
        left = order[full:]
        if rest != "carry":
            if len(left) and (rest == "keep" or not full):
                yield left
            left = left[:0]


# That of the few-shot papers that train a head (Tip-Adapter-F, AMU).
HEAD_OPTIMISER = partial(torch.optim.AdamW, weight_decay=0.01, eps=1e-4)


def minimise(
    loss: Callable[[Tensor | slice], Tensor],
    weights: list,
    steps: int,
    lr: float,
    rows: Iterator[Tensor] | None = None,
    optimiser: Callable[..., torch.optim.Optimizer] = HEAD_OPTIMISER,
    rate: Callable[[int], float] | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Train a few tensors in place: small heads and prompts, on features that are computed once.

    Args:
        loss: rows -> 0-d tensor. weights: leaf tensors, or an optimiser's groups of them; nothing else gets a gradient.
        rows: what the loss is given at each step, for instance of `shuffled`; None: slice(None), all pictures.
        optimiser: (weights, lr=...) -> torch optimiser.
        rate: step -> factor of lr; None: half a cosine from 1 to 0. after_step: called with the step.

    Returns: (steps,) losses. Raises ClipkitError: steps below 0, lr not positive, a loss that is NaN or infinite.
    """
    checks.at_least(0, steps=steps)
    checks.positive(lr=lr)
    engine = optimiser(weights, lr=lr)
    leaves, losses = [p for group in engine.param_groups for p in group["params"]], []
    with torch.enable_grad():
        for step in range(steps):
            for group in engine.param_groups:
                group["lr"] = lr * (cosine_schedule(step, steps) if rate is None else rate(step))
            value = loss(slice(None) if rows is None else next(rows))
            engine.zero_grad()
            value.backward(inputs=leaves)
            engine.step()
            losses.append(value.detach())
            if after_step is not None:
                after_step(step)
    engine.zero_grad()
    found = torch.stack(losses) if losses else leaves[0].new_zeros(0)
    bad = (~found.isfinite()).nonzero().flatten()
    if len(bad):
        raise ClipkitError(f"the loss is {found[bad[0]].item()} at step {int(bad[0])}: lower lr (now {lr:g}) or check the data")
    return found
