"""The parts of the book, in reading order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BookPart:
    """One part: `id` names its folder under notebooks/, `line` says in one sentence what it asks."""

    id: str
    title: str
    line: str


PARTS = (
    BookPart("foundations", "Foundations", "The world, the training, the reading-out and the judging that every later page leans on."),
    BookPart("zero_shot", "Zero-shot", "What a frozen model can name from words alone, and how much the wording matters."),
    BookPart("few_shot", "Few labels", "A handful of labelled pictures, or many unlabelled ones: what they are worth."),
    BookPart("pretraining", "Pretraining", "Other losses, better captions, chosen data: what each buys for the same budget."),
    BookPart("robustness", "Robustness", "Shift, bias, rare things, counting and the unknown: where the model bends and where it breaks."),
    BookPart("dense", "Dense", "From one vector for a picture to a label for each pixel."),
    BookPart("scores", "Scores", "Models as judges: of captions, of pictures, of films, of one another."),
    BookPart("generation", "Generation", "Writing captions and painting pictures with an image–text model as guide."),
    BookPart("video", "Video", "The same question asked of many frames."),
    BookPart("language", "Language", "The text side on its own: prompts, judges and the worth of training examples."),
    BookPart("applications", "Applications", "Medicine, brains, maps and other places where the model was not raised."),
)
BY_ID = {part.id: part for part in PARTS}
