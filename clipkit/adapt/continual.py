"""Learning new classes without forgetting: a copy of a model is tuned on them and held to what the model was before.

What is held: how pictures compare with replayed texts (`Replay`: random words, class names, captions, or bare directions), or
the weights (`L2SP`). What is tuned is a module of two towers, each of which is given what it takes: see `clipkit.adapt.tunable`.

Letters in shapes: N pictures, B of a batch, C classes, V replayed texts, D joint dimensions, L tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.adapt.retained import encoded
from clipkit.errors import ClipkitError
from clipkit.train import shuffled, train

DIRECTIONS = ("image", "text", "both")


@dataclass(frozen=True, eq=False)
class Lesson:
    """New classes: what the image tower takes of N pictures, labels (N,), and what the text tower takes of C class texts."""

    images: Tensor
    labels: Tensor
    texts: Tensor


@dataclass(frozen=True, eq=False)
class Replay:
    """The student compares pictures of the lesson with replayed texts as the teacher does.

    Attributes:
        strength: λ. texts: what the text tower takes of V texts; with class names this is learning without forgetting (LwF).
        directions: (V, D) unit vectors in place of texts: no text tower is asked.
        student_text: whether the student's own text tower reads the texts, or the teacher's features stand for both.
        per_step: how many texts a step takes, drawn anew each time; None for all of them.
        temperature, direction: see `similarity_distillation`.
    """

    strength: float
    texts: Tensor | None = None
    directions: Tensor | None = None
    student_text: bool = True
    per_step: int | None = None
    temperature: float = 2.0
    direction: str = "image"

    def penalty(self, teacher: nn.Module, lesson: Lesson, generator: torch.Generator) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
        """(student, its features (B, D) of some pictures, their rows (B,)) -> 0-d tensor. Raises ClipkitError: texts and directions."""
        checks.at_least(0, strength=self.strength)
        if (self.texts is None) == (self.directions is None):
            raise ClipkitError("Replay takes texts or directions: give one of the two")
        with torch.no_grad():
            images = encoded(teacher.encode_image, lesson.images)
            texts = encoded(teacher.encode_text, self.texts) if self.directions is None else self.directions.to(images)
        scale, frozen = teacher.logit_scale.detach(), self.directions is not None or not self.student_text

        def penalty(student: nn.Module, features: Tensor, rows: Tensor) -> Tensor:
            few = self.per_step is not None and self.per_step < len(texts)
            some = torch.randperm(len(texts), generator=generator)[: self.per_step] if few else slice(None)
            own = texts[some] if frozen else student.encode_text(self.texts[some])
            how = (scale, self.temperature, self.direction)
            return self.strength * similarity_distillation(features, own, images[rows], texts[some], *how)

        return penalty


@dataclass(frozen=True)
class L2SP:
    """The student's weights stay near the teacher's: λ times the sum of squared differences. Source: arXiv:1802.01483, eq. 2."""

    strength: float

    def penalty(self, teacher: nn.Module, lesson: Lesson, generator: torch.Generator) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
        checks.at_least(0, strength=self.strength)
        start = list(teacher.parameters())
        return lambda student, *_: self.strength * sum((p - q).square().sum() for p, q in zip(student.parameters(), start, strict=True))


@dataclass(frozen=True)
class Budget:
    """Steps of a lesson, pictures a step, learning rate of AdamW (no decay), and the seed of the order of pictures and texts."""

    steps: int = 60
    batch: int = 32
    lr: float = 3e-4
    seed: int = 0


def random_token_texts(
    blank: Tensor,
    vocabulary: int | Tensor,
    n_texts: int = 1000,
    length: int = 10,
    generator: torch.Generator | None = None,
    special: Iterable[int] = (),
) -> Tensor:
    """(V, L) int64: the start of a text, `length` random tokens, its end, padding.

    Args:
        blank: (L,) int64, the tokens of the empty text: it shows start, end and padding, which are never drawn.
        vocabulary: how many ids there are, or the ids (M,) to draw from. special: further ids to leave out.

    A tower that pools at the *first* end of text would cut a sequence in which one is drawn; in a vocabulary of a few hundred
    that is no rare case. Raises ClipkitError: no id left, texts too long, a blank that does not end in its padding.
    Source: arXiv:2207.09248; uniform draws and length 10 as in the port of ZSCL (arXiv:2303.06628), which leaves no id out.
    """
    checks.at_least(1, n_texts=n_texts, length=length)
    blank = blank.long()
    if blank.ndim != 1 or length + 2 > len(blank):
        raise ClipkitError(f"start, {length} tokens and an end do not fit a text of {blank.shape[-1]}; draw fewer")
    if len(blank) < 3 or blank[0] == blank[1] or blank[1] == blank[2]:
        raise ClipkitError("the blank must be the tokens of an empty text: start, end, then padding")
    ids = torch.arange(vocabulary) if isinstance(vocabulary, int) else vocabulary.long()
    ids = ids[~torch.isin(ids, torch.cat([blank, torch.tensor([*special], dtype=torch.int64)]))]
    if not len(ids):
        raise ClipkitError("no token is left to draw; give a larger vocabulary")
    drawn = ids[torch.randint(len(ids), (n_texts, length), generator=generator)]
    start, end, padding = (blank[i].expand(n_texts, 1) for i in (0, 1, 2))
    return torch.cat([start, drawn, end, padding.expand(n_texts, len(blank) - length - 2)], 1)


def similarity_distillation(
    image_s: Tensor,
    text_s: Tensor,
    image_t: Tensor,
    text_t: Tensor,
    scale: Tensor | float,
    temperature: float = 2.0,
    direction: str = "image",
) -> Tensor:
    """−T² Σ q log p, mean over rows: p of the student, q of the teacher, softmax of scale · image · text / T. 0-d.

    Args:
        image_s, image_t: (B, D) unit norm, of student and teacher; text_s, text_t: (V, D).
        direction: softmax over the texts for each picture ("image"), over the pictures for each text ("text"), or the sum.

    Source: arXiv:2207.09248; "both" as in the port of ZSCL.
    """
    checks.one_of("direction", direction, DIRECTIONS)
    checks.positive(temperature=temperature)
    student, teacher = (scale / temperature * x @ w.T for x, w in ((image_s, text_s), (image_t, text_t)))  # (B, V)
    sides = {"image": [(student, teacher)], "text": [(student.T, teacher.T)], "both": [(student, teacher), (student.T, teacher.T)]}
    return temperature**2 * sum(F.cross_entropy(p, q.softmax(1)) for p, q in sides[direction])


def continual_finetune(
    towers: nn.Module,
    lessons: Sequence[Lesson],
    keep: Replay | L2SP | Sequence[Replay | L2SP | None] | None = None,
    budget: Budget = Budget(),
    teacher: str = "previous",
    after_step: Callable[[int, nn.Module], None] | None = None,
) -> list[nn.Module]:
    """Copies of two towers, tuned on one lesson after the other: the first after one lesson, the last after all.

    Args:
        towers: with `encode_image`, `encode_text` and `logit_scale`; left as it is. Its temperature is not trained.
        keep: what holds the student, one for each lesson or the same for all; None: plain fine-tuning.
        teacher: the model before this lesson ("previous"), or before all of them ("initial"). It is a copy.
        after_step: called with (step, student) after every step.
    """
    checks.one_of("teacher", teacher, ("previous", "initial"))
    keeps = list(keep) if isinstance(keep, Sequence) else [keep] * len(lessons)
    found, before = [], towers
    for lesson, held in zip(lessons, keeps, strict=True):
        student = copy.deepcopy(before)
        fixed = copy.deepcopy(before if teacher == "previous" else towers).requires_grad_(False).eval()
        dice = torch.Generator().manual_seed(budget.seed)
        penalty = held and held.penalty(fixed, lesson, dice)
        scale, labels = fixed.logit_scale.detach(), checks.labels(lesson.labels, len(lesson.images), len(lesson.texts))

        def loss(module, rows, lesson=lesson, penalty=penalty, scale=scale, labels=labels):
            features = module.encode_image(lesson.images[rows])
            task = F.cross_entropy(scale * features @ module.encode_text(lesson.texts).T, labels[rows].to(features.device))
            return task if penalty is None else task + penalty(module, features, rows)

        tell = after_step and (lambda step, module, _: after_step(step, module))
        order = shuffled(len(labels), min(budget.batch, len(labels)), torch.Generator().manual_seed(budget.seed), rest="drop")
        train(student, order, loss, budget.steps, lr=budget.lr, weight_decay=0.0, after_step=tell)
        found.append(student)
        before = student
    return found
