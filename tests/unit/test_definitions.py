"""What an experiment stands on: which edits make its digests new, and which do not."""

from __future__ import annotations

import ast
import functools
import textwrap
from pathlib import Path

import pytest

from clipkit import definitions
from clipkit.definitions import reached, reached_by
from clipkit.errors import ClipkitError
from clipkit.press import hashing, notebooks
from clipkit.registry.papers import load_registry
from clipkit.syntax import Module, python_source

PACKAGE = {
    "__init__.py": """
        def __getattr__(name):
            if name == "door":
                from pkg.doors import door
                return door
            raise AttributeError(name)
    """,
    "measure/__init__.py": """
        '''Measures.'''
        from clipkit.lazy import exports
        _HOME = {"means": "mean_of half", "tables": "WAYS chosen"}
        __getattr__, __all__ = exports(__name__, _HOME)
    """,
    "measure/means.py": """
        import numpy as np
        from pkg.deep import total
        SCALE = 100.0
        def mean_of(values: list) -> float:
            '''The mean.'''
            return SCALE * total(values) / len(values)  # a comment
        def half(values):
            return total(values) / 2
        def unused(values):
            return np.median(values)
    """,
    "measure/tables.py": """
        def fast(x):
            return x + 1
        def slow(x):
            return 1 + x
        WAYS = {"fast": fast, "slow": slow}
        def chosen(x, way):
            return WAYS[way](x)
    """,
    "deep.py": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from pkg.plots import draw
        def total(values):
            from pkg.deeper import add
            if not len(values):
                raise ValueError(f"no values in {values!r}")
            return add(values, start=0)
        def hook(plot: draw):
            return plot
    """,
    "deeper.py": """
        def add(values, start):
            for value in values:
                start = start + value
            return start
    """,
    "nets.py": """
        class Base:
            def step(self, x):
                return x * 0.5
            def other(self, x):
                return x
        class Net(Base):
            '''A net.'''
            size: int = 3
            def fit(self, x):
                return self.step(x)
    """,
    "named.py": """
        NAMED = {"a": 1}
        NAMED["b"] = 2
        def names():
            return NAMED
    """,
    "files.py": """
        import json
        from pathlib import Path
        def words():
            return json.loads(Path(__file__).with_name("words.json").read_text())
    """,
    "words.json": '["red"]',
    "plots.py": """
        def draw(x, title="A figure"):
            return title, x
    """,
    "eager/__init__.py": """
        import lazy_loader
        __getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["late"], submod_attrs={"early": ["first"]})
    """,
    "eager/early.py": "def first(x):\n    return x - 1\n",
    "eager/late.py": "def last(x):\n    return x - 2\n",
    "doors.py": """
        from importlib import import_module
        _NAMES = {"one": "plain", "two": "special"}
        def door(name):
            return import_module(f"pkg.datasets.{_NAMES[name.partition(':')[0]]}").load(name)
    """,
    "datasets/__init__.py": "",
    "datasets/plain.py": "def load(name):\n    return [1]\n",
    "datasets/special.py": "def load(name):\n    return [2]\n",
}
NOTEBOOK = """
import numpy as np
from pkg import door
from pkg import measure as m
from pkg.eager import first, late
from pkg.files import words
from pkg.named import names
from pkg.nets import Net
from pkg.plots import draw

dataset = "one"
PRESETS = {"quick": {"n": 1}, "full": {"n": 5}}
LEVEL = 3
run = start("page", PRESETS, dataset=dataset)
net = Net()
title = "The first figure"
draw(1, title)

def at_level(x):
    title = "hidden"  # not the figure's
    return x + LEVEL, title

def experiment(seed):
    values = [x for x in range(seed + run.n)]
    found = {"mean": m.mean_of(values), "net": net.fit(seed), "first": first(late.last(seed)), "words": len(words())}
    return found | {"level": at_level(seed)[0], "way": m.chosen(seed, "fast"), "data": door(dataset), "names": len(names())}

runs = run.over_seeds(experiment)
LEVEL = draw(runs, "The last figure")
"""


class Desk:
    """A small package and a notebook that tests edit."""

    def __init__(self, folder: Path):
        self.package, self.cells = folder / "pkg", [NOTEBOOK]
        for name, text in PACKAGE.items():
            path = self.package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.package / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def say(self, old: str, new: str) -> None:
        assert old in self.cells[0]
        self.cells = [self.cells[0].replace(old, new)]

    def found(self, **parameters) -> dict[str, str]:
        return dict(hashing.experiment(self.cells, {"preset": "full", "dataset": "one", **parameters}, self.package).digests)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


STALE = {
    "three calls below": ("deeper.py", "start + value", "start - value", "pkg.deeper.add"),
    "a constant": ("measure/means.py", "100.0", "10.0", "pkg.measure.means.SCALE"),
    "a method of a base class": ("nets.py", "x * 0.5", "x * 0.6", "pkg.nets.Base"),
    "a method of a class": ("nets.py", "self.step(x)", "self.step(x) + 1", "pkg.nets.Net"),
    "a field of a class": ("nets.py", "size: int = 3", "size: int = 4", "pkg.nets.Net"),
    "through a lazy export": ("measure/means.py", "/ len(values)", "/ (len(values) + 1)", "pkg.measure.means.mean_of"),
    "through lazy_loader": ("eager/early.py", "x - 1", "x - 3", "pkg.eager.early.first"),
    "a lazy submodule": ("eager/late.py", "x - 2", "x - 3", "pkg.eager.late.last"),
    "through a table of functions": ("measure/tables.py", "return x + 1", "return x + 2", "pkg.measure.tables.fast"),
    "the table's other function": ("measure/tables.py", "return 1 + x", "return 2 + x", "pkg.measure.tables.slow"),
    "a table changed after its definition": ("named.py", "= 2", "= 3", "pkg.named.NAMED"),
    "through an import inside a function": ("deep.py", "start=0", "start=1", "pkg.deep.total"),
    "a data file": ("words.json", "red", "green", "pkg/words.json"),
    "the chosen data set": ("datasets/plain.py", "[1]", "[3]", "pkg.datasets.plain.load"),
    "when an error is raised": ("deep.py", "if not len(values)", "if len(values) < 2", "pkg.deep.total"),
}


@pytest.mark.parametrize("kind", STALE)
def test_a_change_of_what_the_experiment_does_is_noticed_and_named(desk, kind):
    name, old, new, changed = STALE[kind]
    before = desk.found()
    desk.edit(name, old, new)
    assert hashing.differences({"definitions": sorted(before)}, {"definitions": desk.found()}) == [changed]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("LEVEL = 3", "LEVEL = 4", "notebook.LEVEL"),
        ("range(seed + run.n)", "range(seed + 2 * run.n)", "notebook.experiment"),
        ("x + LEVEL, title", "x - LEVEL, title", "notebook.at_level"),
        ('"full": {"n": 5}', '"full": {"n": 6}', "notebook.PRESETS"),
        ("net = Net()", "net = Net()\nnet.size = 5", "notebook.net"),
        (
            "from pkg.eager import first, late",
            "from pkg.eager import late\nfrom pkg.eager.late import last as first",
            "notebook.experiment",
        ),
    ],
)
def test_a_change_of_what_a_cell_computes_is_noticed_and_named(desk, old, new, changed):
    before = desk.found()
    desk.say(old, new)
    assert hashing.differences({"definitions": sorted(before)}, {"definitions": desk.found()}) == [changed]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("measure/means.py", "'''The mean.'''", "'''What is in the middle, not the median.'''"),
        ("measure/means.py", "# a comment", "# another"),
        ("measure/means.py", "values: list) -> float", "values: tuple) -> int"),
        ("measure/means.py", "SCALE * total(values) / len(values)", "(\n        SCALE * total( values ) / len(values))"),
        ("measure/means.py", "np.median(values)", "np.mean(values)"),
        ("measure/means.py", "return total(values) / 2", "return total(values) / 3"),
        ("deep.py", "no values in {values!r}", "give at least one value, not {values!r}"),
        ("nets.py", "'''A net.'''", "'''Some net.'''"),
        ("plots.py", "return title, x", "return x, title"),
        ("datasets/special.py", "[2]", "[3]"),
    ],
)
def test_words_layout_and_what_is_not_reached_change_nothing(desk, name, old, new):
    before = desk.found()
    desk.edit(name, old, new)
    assert desk.found() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"The first figure"', '"Another first figure"'),
        ('"The last figure"', '"Another last figure"'),
        ("draw(1, title)", "draw(2, title)\nrun.uses(net)"),
        ("LEVEL = draw", "LEVEL = 5 + draw"),
        ('"quick": {"n": 1}', '"quick": {"n": 2}'),
        ("# not the figure's", "# its own"),
        ("from pkg import measure as m", "from pkg.measure import means as m0, tables\nimport pkg.measure as m"),
    ],
)
def test_figures_and_other_presets_change_nothing(desk, old, new):
    before = desk.found()
    desk.say(old, new)
    assert desk.found() == before


def test_moving_a_file_changes_names_and_no_digest(desk):
    before = desk.found()
    (desk.package / "low").mkdir()
    (desk.package / "low" / "__init__.py").write_text("")
    (desk.package / "deeper.py").rename(desk.package / "low" / "sums.py")
    desk.edit("deep.py", "    from pkg.deeper import add", "    import math\n    from pkg.low import sums")
    desk.edit("deep.py", "add(values, start=0)", "sums.add(values, start=0)")
    after = desk.found()
    assert set(after) == set(before) and set(after.values()) - set(before.values()) == {"pkg.low.sums.add"}


def test_a_method_reached_through_another_alias_is_the_same(desk):
    before = desk.found()
    desk.say(
        "import numpy as np\nfrom pkg import door\nfrom pkg import measure as m",
        "from pkg import door\nfrom pkg.measure import chosen, mean_of",
    )
    desk.cells = [desk.cells[0].replace("m.mean_of", "mean_of").replace("m.chosen", "chosen")]
    assert desk.found() == before


def test_the_data_set_given_chooses_the_loader(desk):
    loader = lambda **given: {n for n in desk.found(**given).values() if ".datasets." in n}  # noqa: E731
    assert loader() == {"pkg.datasets.plain.load"}
    desk.say('dataset = "one"', 'dataset = "two:x"')
    assert loader(dataset="two:x") == {"pkg.datasets.special.load"}
    assert loader(dataset="unheard of") == {"pkg.datasets.plain.load", "pkg.datasets.special.load"}


@pytest.mark.parametrize("call", ["lambda seed: at_level(seed)", "partial(at_level, x=1)", "experiment=at_level", "net.fit"])
def test_every_way_to_hand_over_an_experiment_is_followed(desk, call):
    desk.say("run.over_seeds(experiment)", f"run.over_seeds({call})")
    names = set(desk.found().values())
    assert ("notebook.net" if call == "net.fit" else "notebook.LEVEL") in names
    assert "notebook.experiment" not in names and "pkg.deeper.add" not in names


def test_a_name_imported_and_bound_anew_leads_to_both(desk):
    desk.say("net = Net()", "first = cache(first)\nnet = Net()")
    assert {"notebook.first", "pkg.eager.early.first"} <= set(desk.found().values())


def test_a_page_without_an_experiment_counts_whole(desk):
    desk.say("run.over_seeds(experiment)", "None")
    assert {"pkg.plots.draw", "notebook.title", "pkg.deeper.add"} <= set(desk.found().values())


def test_an_unknown_root_is_told():
    with pytest.raises(ClipkitError, match="defines no 'experiment'"):
        reached("x = 1", "experiment")


def test_strings_that_ask_for_checkpoints():
    code = 'from clipkit.dense.segmenter import load_segmenter\nsam, other = load_segmenter(), "nano-dino"'
    assert {"nano-sam", "nano-dino"} <= reached(code, "sam").strings
    assert "nano-vqa" not in reached("from clipkit.pretrain.recipes import RECIPES\nx = RECIPES", "x").strings


def helper(x):
    return x + 1


@functools.cache
def build(x, way=helper):
    inner = lambda y: helper(y)  # noqa: E731
    return inner(x)


def test_function_objects_are_roots_too():
    from clipkit.dense.metrics import mean_iou

    names = set(reached_by(mean_iou).digests.values())
    assert {"clipkit.dense.metrics.mean_iou", "clipkit.dense.metrics.confusion"} <= names
    assert set(reached_by(functools.partial(build, 1)).digests.values()) == {"notebook.build", "notebook.helper"}
    assert reached_by(helper).digests.keys() == reached("def helper(x):\n    return x + 1", "helper").digests.keys()
    for sourceless in (len, functools.partial(print)):
        with pytest.raises(ClipkitError, match="the source of"):
            reached_by(sourceless)


def test_a_function_of_a_cell_is_followed_through_all_cells(tmp_path):
    cell = tmp_path / "cell_1.py"  # as a kernel does it: a file of its own for each cell
    cell.write_text("def train(x):\n    return x * RATE\n")
    space: dict = {"__name__": "__main__"}
    exec(compile(cell.read_text(), str(cell), "exec"), space)
    one = reached_by(space["train"], ["%matplotlib inline\nRATE = 2", cell.read_text()])
    two = reached_by(space["train"], ["RATE = 3", cell.read_text()])
    assert set(one.digests.values()) == {"notebook.train", "notebook.RATE"}
    assert len(one.digests.keys() & two.digests.keys()) == 1


@pytest.fixture(scope="module")
def pages():
    found = {}
    for entry in load_registry().entries:
        if entry.has_notebook:
            notebook = notebooks.read(entry.notebook_path)
            parts = hashing.record_parts(entry, notebook, {**notebooks.parameters(notebook), "preset": "full"})
            found[entry.slug] = set(parts["definitions"].values())
    return found


def test_every_page_has_an_experiment_and_no_drawing_in_it(pages):
    assert len(pages) > 20
    for slug, names in pages.items():
        assert "notebook.experiment" in names and len(names) > 50, slug
        rooms = ("figures", "plots", "pictures", "tables", "palette", "report", "run", "forest")
        assert not [name for name in names if name.startswith(tuple(f"clipkit.lab.{room}." for room in rooms))], slug


def test_what_was_in_no_records_hash_is_now(pages):
    assert "clipkit.dense.metrics.mean_iou" in pages["trident"]
    assert {"clipkit.robust.clipn.clipn_loss", "clipkit.lab.seeds.seed_everything"} <= pages["clipn"]
    assert any(name.endswith(".train_no_tower") for name in pages["clipn"])
    methods = {name.rpartition(".")[2] for name in pages["few_shot_shootout"]}
    assert {"TipAdapter", "GDA", "PrototypeBlend"} <= methods


def test_no_reference_into_the_package_is_left_open():
    tree = definitions._tree(definitions.PACKAGE, definitions._stamp(definitions.PACKAGE))
    left, modules = [], []
    for path in sorted(definitions.PACKAGE.rglob("*.py")):
        name = ".".join((definitions.PACKAGE.name, *path.relative_to(definitions.PACKAGE).with_suffix("").parts))
        modules.append(tree.module(name.removesuffix(".__init__")))
    for entry in load_registry().entries:
        if entry.has_notebook:
            code = python_source(hashing.code_cells(notebooks.read(entry.notebook_path)))
            modules.append(Module.of(ast.parse(code), entry.slug, None))
    for module in modules:
        for one in module.definitions:
            texts = [tree.follow(module, one, *piece)[0] for piece in one.text if isinstance(piece, tuple)]
            left += [(module.name, text) for text in texts if text.startswith(f"<{definitions.PACKAGE.name}.")]
    assert left == []
