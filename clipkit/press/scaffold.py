"""`clipkit new SLUG`: a notebook with the whole anatomy, and a small experiment that runs, for a writer to replace."""

from __future__ import annotations

import textwrap
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.press.install import is_install, with_install
from clipkit.press.settings import in_repository
from clipkit.registry.papers import Entry

PARAMETERS = """
preset = "quick"  # smoke (seconds), quick (a minute) or full (for the record)
seed = 0  # the first seed; further ones count up from it
model = "nano"  # a name of clipkit.load_model
pretrained = None  # weights' tag or file; None for the model's own
dataset = "world"  # a name of clipkit.load_dataset, for instance folder:PATH
device = "auto"  # auto, cpu, cuda
n_test = None  # test images a seed; None as the preset says
"""

START = """
import torch

from clipkit import lab, load_dataset, load_model
from clipkit.features import extract
from clipkit.zeroshot import zeroshot_logits, zeroshot_weights

PRESETS = {{
    "smoke": {{"n_seeds": 1, "n_test": 64}},
    "quick": {{"n_seeds": 2, "n_test": 512}},
    "full": {{"n_seeds": 8, "n_test": 2048}},
}}
given = dict(model=model, pretrained=pretrained, dataset=dataset, device=device, n_test=n_test)
run = lab.start("{slug}", PRESETS, preset=preset, seed=seed, **given)
clip = load_model(model, pretrained, device=run.device)
sample = load_dataset(dataset, n=8, seed=seed)
"""

PICTURE = """
lab.image_grid([sample.images[i] for i in range(8)], columns=4, alt="Eight pictures of the data set this page is tested on.")
"""

BY_HAND = """
def class_weights(names, templates):
    prompts = [template.format(name) for name in names for template in templates]
    features = clip.text_features(prompts)  # (C * T, D), unit length
    mean = features.reshape(len(names), len(templates), -1).mean(1)  # (C, D)
    return mean / mean.norm(dim=-1, keepdim=True)
"""

CHECK = """
# NBVAL_CHECK_OUTPUT
ours = class_weights(sample.classnames, sample.templates)
theirs = zeroshot_weights(clip, sample.classnames, sample.templates)
print("same as clipkit:", torch.allclose(ours, theirs, atol=1e-5))
"""

EXPERIMENT = """
def accuracy(features, labels, templates):
    logits = zeroshot_logits(features, zeroshot_weights(clip, sample.classnames, templates))  # (N, C)
    return 100 * (logits.argmax(1) == labels).float().mean().item()


def experiment(seed):
    data = load_dataset(dataset, n=run.n_test, seed=seed)
    found = extract(clip, data)
    labels = torch.as_tensor(found.labels)
    return {
        "names": accuracy(found.image, labels, ["{}"]),
        "templates": accuracy(found.image, labels, sample.templates),
    }


runs = run.over_seeds(experiment)
"""

FIGURE = """
alt = "Two bars: zero-shot accuracy from bare class names and from the mean of several templates."
with lab.figure(alt=alt, title="Bare names against templates") as axes:
    axes.bar(runs.columns, runs.mean())
    axes.set_ylabel("accuracy (%)")
"""

SOLUTIONS = (
    (
        "Score a single template, the first, by hand.",
        "one = class_weights(sample.classnames, sample.templates[:1])\nassert one.shape == ours.shape",
    ),
    (
        "How near to each other are the nearest two classes?",
        "near = (ours @ ours.T).fill_diagonal_(-1).max()\nassert -1 <= near <= 1.0001",
    ),
    (
        "Does the order of the templates matter? Say why, then test it.",
        "back = class_weights(sample.classnames, sample.templates[::-1])\nassert torch.allclose(back, ours, atol=1e-5)",
    ),
)


def new_notebook(entry: Entry):
    """The notebook as an nbformat node, the same for the same entry."""
    import nbformat.v4 as v4

    cells = []

    def text(content: str) -> None:
        cells.append(v4.new_markdown_cell(textwrap.dedent(content).strip()))

    def code(content: str, *tags: str) -> None:
        cells.append(v4.new_code_cell(content.strip(), metadata={"tags": list(tags)} if tags else {}))

    cite = f" The paper is {{cite:t}}`{entry.slug}`." if entry.is_paper else ""
    text(f"# {entry.title}\n\n## The idea\n\n{entry.idea}{cite}")
    code(PARAMETERS, "parameters")
    code(START.format(slug=entry.slug))
    code(PICTURE)
    text(METHOD)
    code(BY_HAND)
    code(CHECK)
    text("## The experiment\n\nEvery seed draws its own test pictures. The two arms see the same ones.")
    code(EXPERIMENT)
    code(FIGURE)
    text("## The claims\n\n" + "\n".join(f"- **{claim.id}** {claim.text}" for claim in entry.claims))
    skipped = {claim.id: "its experiment is not part of this page yet" for claim in entry.claims if claim.test is not None}
    code("run.claims(runs" + (f", skip={_literal(skipped)}" if skipped else "") + ")")
    text("## What to make of it\n\nAveraging over templates steadies a class's direction; it adds no knowledge of the class.")
    line = f"papermill {in_repository(entry)} out.ipynb -p preset full \\\n"
    line += "  -p model ViT-B-32 -p pretrained laion2b_s34b_b79k -p dataset folder:PATH"
    text(f"## Going to full scale\n\n```bash\n{line}\n```\n\nOne pass over the images: minutes on a processor, seconds on a GPU.")
    name = entry.slug.replace("_", "-")
    questions = [f"```{{exercise}}\n:label: {name}-{i}\n\n{question}\n```" for i, (question, _) in enumerate(SOLUTIONS, 1)]
    text("## Exercises\n\n" + "\n\n".join(questions))
    for i, (_, answer) in enumerate(SOLUTIONS, 1):
        text(f"```{{solution-start}} {name}-{i}\n:class: dropdown\n```")
        code(answer)
        text("```{solution-end}\n```")
    text("## References\n\n```{bibliography}\n:filter: docname in docnames\n```")
    notebook = with_install(v4.new_notebook(cells=cells))
    for i, cell in enumerate(cell for cell in notebook.cells if not is_install(cell)):
        cell["id"] = f"{name[:40]}-{i:02d}"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


METHOD = r"""
## The method

With $T$ templates, class $c$ is the direction
{cite:p}`radford2021clip`

$$w_c = \frac{\bar t_c}{\lVert \bar t_c \rVert}, \qquad \bar t_c = \frac1T \sum_{i=1}^{T} t_{c,i},$$

where $t_{c,i}$ is the unit-length feature of the $i$-th prompt.
"""


def _literal(skipped: dict[str, str]) -> str:
    reasons = set(skipped.values())
    return f'dict.fromkeys({list(skipped)}, "{reasons.pop()}")'.replace("'", '"')


def write_new(entry: Entry) -> Path:
    """Write the notebook of an entry; ClipkitError when there is one already."""
    import nbformat

    path = entry.notebook_path
    if path.exists():
        raise ClipkitError(f"{path.name} exists already; edit it, or move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(entry), path)
    return path
