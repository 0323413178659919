"""What is shipped and what is made: where each is looked for, in a checkout, in an installation, and where nothing can be written."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from clipkit import paths
from clipkit.errors import ClipkitError
from clipkit.models.cards import list_cards, load_card
from clipkit.press.cli import main
from clipkit.registry.papers import load_registry, notebooks_dir
from clipkit.registry.records import load_records

RECORDS = paths.ROOT / "data" / "records"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installation without a checkout around it, and its user's home; returns the folder of what it ships."""
    monkeypatch.delenv("CLIPKIT_DATA", raising=False)
    monkeypatch.delenv("CLIPKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paths, "ROOT", tmp_path / "site-packages")
    came = tmp_path / "site-packages" / "clipkit" / "_data"
    shutil.copytree(RECORDS / "judging_claims", came / "records" / "judging_claims")
    (came / "models").mkdir()
    (came / "models" / "nano.card.json").write_text('{"name": "shipped"}')
    shutil.copy(RECORDS.parent / "papers.yml", came)
    monkeypatch.setattr(paths, "shipped_dir", lambda: came)
    return came


def test_a_checkout_reads_and_writes_its_own_data(monkeypatch):
    monkeypatch.delenv("CLIPKIT_DATA", raising=False)
    assert paths.in_checkout()
    assert paths.data_dir() == paths.shipped_dir() == paths.ROOT / "data"
    assert paths.record_dirs() == [RECORDS]
    assert notebooks_dir() == paths.ROOT / "notebooks"


def test_an_installation_reads_its_data_and_writes_in_the_users_folder(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.shipped("papers.yml") == installed / "papers.yml"
    assert paths.data_dir() == tmp_path / "home" / "clip-claim-by-claim"
    assert paths.cache_dir("x") == paths.data_dir() / "cache" / "x"
    assert load_registry().entry("judging_claims").has_notebook is False and notebooks_dir() == tmp_path / "notebooks"


def test_ones_own_files_win_and_the_shipped_ones_stay(tmp_path, monkeypatch):
    """CLIPKIT_DATA without a registry: the package's is used, and its models beside one's own."""
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "nano.card.json").write_text('{"name": "mine"}')
    (tmp_path / "models" / "mine.card.json").write_text("{}")
    assert load_card("nano") == {"name": "mine"} and load_card("nano-conv")["name"] == "nano-conv"
    assert {"mine", "nano", "nano-conv"} <= set(list_cards()) and list_cards() == sorted(set(list_cards()))
    mine = {path.name: path.parent for path in paths.shipped_files("models")}
    assert "nano.safetensors" not in mine  # files of one model are never mixed from two places
    assert mine["nano.card.json"] == tmp_path / "models" and mine["nano-conv.json"] == paths.ROOT / "data" / "models"
    assert len(load_registry().papers()) == 62


def test_records_of_ones_own_stand_beside_the_shipped_ones(installed):
    (shipped,) = load_records("judging_claims")
    other = json.loads(next((installed / "records" / "judging_claims").glob("*.json")).read_text())
    own = type(shipped).from_dict({**other, "dataset": {"name": "digits", "fingerprint": None}, "scale": "digits"})
    again = type(shipped).from_dict({**other, "date": "2031-01-01"})
    assert own.write().is_relative_to(paths.data_dir()) and again.write().is_relative_to(paths.data_dir())
    assert [(r.scale, r.date == "2031-01-01") for r in load_records("judging_claims")] == [("world", True), ("digits", False)]


def test_a_registry_of_ones_own_has_none_of_the_shipped_records(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))
    assert load_records("judging_claims")
    (tmp_path / "papers.yml").write_text("papers: []\n")
    assert load_records("judging_claims") == [] and paths.record_dirs() == [tmp_path / "records"]


def test_a_checkout_that_is_read_only_is_read_and_the_user_folder_written(tmp_path, monkeypatch):
    monkeypatch.delenv("CLIPKIT_DATA", raising=False)
    monkeypatch.delenv("CLIPKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != paths.ROOT / "data" and real(path, mode))
    assert paths.data_dir() == tmp_path / "clip-claim-by-claim" and paths.cache_dir("x").is_relative_to(tmp_path)
    assert paths.shipped("papers.yml") == paths.ROOT / "data" / "papers.yml" and paths.record_dirs()[-1] == RECORDS


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """A data folder that cannot be made, not even by root."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.delenv("CLIPKIT_CACHE", raising=False)
    return tmp_path / "file" / "data"


def test_a_named_folder_that_cannot_be_written_to_gives_one_clear_error(nowhere, monkeypatch, capsys):
    for attempt in (lambda: paths.cache_dir("x"), lambda: load_records("judging_claims")[0].write()):
        with pytest.raises(ClipkitError, match="set CLIPKIT_DATA to a folder you may write to"):
            attempt()
    assert main(["run", "judging_claims", "--preset", "smoke"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("clipkit: cannot write in") and "Traceback" not in said
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(paths.NotWritable, match="read only"):
        paths.writable(nowhere.parent.parent)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_command_on_a_read_only_or_full_disk_says_so_in_one_line(number, monkeypatch, capsys, tmp_path):
    def refuse(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert main(["ledger", "--csv", str(tmp_path / "x.csv")]) == 2
    assert capsys.readouterr().err.startswith(f"clipkit: {tmp_path / 'x.csv'} cannot be used ({os.strerror(number)})")


def test_the_world_is_drawn_without_a_place_for_caches(nowhere):
    from clipkit.world import WorldSpec, render, sample_scenes
    from clipkit.world.sprites import _master

    _master.cache_clear()
    assert render(sample_scenes(WorldSpec(), 2, 0), size=32).images.shape == (2, 32, 32, 3)


def test_what_ships_is_asked_for_by_shipped():
    """`data_dir()` is for what is made: a shipped file looked for there is not found in an installation."""
    wrong = re.compile(r"""data_dir\(\)\s*/\s*["'](papers\.yml|prompts|sweeps)""")
    reads = re.compile(r"""data_dir\(\)\s*/\s*["']models["']\s*\)?\s*(/|\.)""")
    sources = {path: path.read_text(encoding="utf-8") for path in paths.PACKAGE.rglob("*.py")}
    assert [path.name for path, text in sources.items() if wrong.search(text) or reads.search(text)] == []
