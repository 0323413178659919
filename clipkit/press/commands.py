"""What each command does; the options are described in `cli`."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from clipkit.errors import ClipkitError
from clipkit.paths import checkout
from clipkit.registry.papers import Entry, Registry, load_registry


def _parameters(options: Namespace) -> dict:
    from clipkit.press.notebooks import typed

    given = {name: typed(value) for name, value in options.parameter}
    return {"preset": options.preset, **given}


def _entries(registry: Registry, slugs: list[str], everything: bool) -> list[Entry]:
    from clipkit.press.runner import require_notebooks

    if not slugs and not everything:
        raise ClipkitError("name the pages to run, or say --all")
    return registry.finished() if everything else require_notebooks([registry.entry(slug) for slug in slugs])


def run(options: Namespace) -> int:
    from clipkit.press.runner import job_for, run_jobs, summary

    entries = _entries(load_registry(), options.slugs, options.all)
    results = run_jobs([job_for(entry, _parameters(options)) for entry in entries], options.jobs, options.force)
    print(summary(results))
    return int(not all(result.ok for result in results))


def record(options: Namespace) -> int:
    from clipkit.press import record as records

    registry = load_registry()
    if options.stale or options.list_stale:
        stale = records.stale_records(registry)
        for found, changed in stale:
            print(f"stale: {found.slug} {found.file_name}: changed {', '.join(changed)}")
        if options.list_stale or not stale:
            print(f"{len(stale)} stale records")
            return 0
        wanted = [(registry.entry(found.slug), records.rerun_parameters(registry.entry(found.slug), found), found) for found, _ in stale]
        for entry, given, found in wanted:
            if given is None:
                print(f"skipped: {entry.slug} {found.file_name} needs its data: clipkit record {entry.slug} -p dataset folder:PATH ...")
        return _record([(entry, given) for entry, given, _ in wanted if given is not None], options)
    if not options.slugs:
        raise ClipkitError("name the pages to record, or say --stale")
    return _record([(entry, _parameters(options)) for entry in _entries(registry, options.slugs, False)], options)


def _record(wanted: list[tuple[Entry, dict]], options: Namespace) -> int:
    from clipkit.press import notebooks
    from clipkit.press import record as records
    from clipkit.press.runner import job_for, read_status, run_jobs, summary

    jobs = [job_for(entry, given, records.record_output(entry.slug, given)) for entry, given in wanted]
    results = run_jobs(jobs, options.jobs, options.force)
    print(summary(results))
    for (entry, _), result in zip(wanted, results, strict=True):
        if result.ok:
            made = records.make_record(entry, notebooks.read(result.output), read_status(result.output))
            path = made.write()
            verdicts = ", ".join(f"{claim} {found['verdict']}" for claim, found in made.claims.items())
            print(f"recorded {entry.slug}/{path.name}: {verdicts}")
    return int(not all(result.ok for result in results))


def sweep(options: Namespace) -> int:
    from clipkit.press import sweep as sweeps
    from clipkit.press.runner import require_notebooks, run_jobs, summary

    entry = load_registry().entry(options.slug)
    arms = options.arms.split(",") if options.arms else []
    made = sweeps.plan(require_notebooks([entry])[0], options.grid, _parameters(options), arms)
    folder = Path(options.out) if options.out else sweeps.default_folder(entry)
    try:
        if options.scheduler:
            from clipkit.press.cluster import run_on_cluster

            results = run_on_cluster(made.jobs, options.scheduler, options.force)
        else:
            results = run_jobs(made.jobs, options.jobs, options.force)
    except KeyboardInterrupt:
        if not sweeps.rows(made).empty:
            sweeps.write(made, folder)
        raise
    results = sweeps.checked(results)
    print(summary(results))
    print(sweeps.overview(sweeps.write(made, folder), made))
    print(f"{folder / sweeps.ROWS}, {sweeps.SUMMARY} and {sweeps.PICTURE} beside it")
    return int(not all(result.ok for result in results))


def ledger(options: Namespace) -> None:
    from clipkit.press import ledger as books

    rows = books.ledger(load_registry())
    if options.csv == "-":
        print(books.to_csv(rows), end="")
    elif options.csv:
        Path(options.csv).write_text(books.to_csv(rows), encoding="utf-8")
        print(options.csv)
    else:
        print(books.to_text(rows))


def new(options: Namespace) -> None:
    from clipkit.press.scaffold import write_new

    path = write_new(load_registry().entry(options.slug))
    print(f"{path}\nNext: write the page, then: clipkit page {options.slug}")


def book(options: Namespace) -> int:
    registry = load_registry()
    code = 0
    if not options.no_run:
        code = run(Namespace(**{**vars(options), "slugs": [], "all": True}))
    return max(code, _build(registry, options.preset, strict=options.strict))


def pdf(options: Namespace) -> int:
    from clipkit.press.pdf import build_pdf

    print(f"Open {build_pdf(load_registry(), options.preset)}")
    return 0


def page(options: Namespace) -> int:
    registry = load_registry()
    entry = registry.entry(options.slug)
    code = run(Namespace(**{**vars(options), "slugs": [entry.slug], "all": False}))
    return max(code, _build(registry, options.preset, entry))


def _build(registry: Registry, preset: str, entry: Entry | None = None, strict: bool = False) -> int:
    from clipkit.press.site import build

    built = build(registry, preset)
    for line in built.warnings:
        print(line, file=sys.stderr)
    at = built.index.parent / entry.part / f"{entry.slug}.html" if entry else built.index
    print(f"{len(built.pages)} pages, {len(built.warnings)} warnings. Open {at}")
    return int(strict and bool(built.warnings))


def readme(options: Namespace) -> int:
    from clipkit.press.readme import with_table

    path = checkout() / "README.md"
    return _rewrite(path, with_table(path.read_text(encoding="utf-8"), load_registry()), options.check)


def bib(options: Namespace) -> int:
    from clipkit.press.bibliography import bibtex

    return _rewrite(checkout() / "book" / "references.bib", bibtex(load_registry()), options.check)


def _rewrite(path: Path, text: str, check: bool) -> int:
    current = path.is_file() and path.read_text(encoding="utf-8") == text
    if not check and not current:
        path.write_text(text, encoding="utf-8")
    print(f"{path.name} {'is up to date' if current else 'is out of date' if check else 'rewritten'}")
    return int(check and not current)


def papers(options: Namespace) -> None:
    registry = load_registry()
    for part in registry.parts():
        print(part.title)
        for entry in registry.of_part(part.id):
            tested = sum(claim.test is not None for claim in entry.claims)
            print(f"  {'page   ' if entry.has_notebook else 'planned'} {entry.slug:32} {tested}/{len(entry.claims)} claims  {entry.title}")
    done = sum(entry.has_notebook for entry in registry.papers())
    print(f"{len(registry.papers())} papers, {done} with a page; {len(registry.foundations())} pages of our own")


def features(options: Namespace) -> None:
    from clipkit.datasets import load_dataset
    from clipkit.features import extract
    from clipkit.models import load_model

    model = load_model(options.model, options.pretrained, device=options.device)
    dataset = load_dataset(options.dataset, split=options.split, n=options.n)
    found = extract(model, dataset, batch=options.batch)
    print(f"{found.image.shape[0]} features of {found.image.shape[1]} numbers; {len(found.skipped)} images skipped")
    for path, reason in found.skipped[:10]:
        print(f"  skipped {path}: {reason}")


def pretrain(options: Namespace) -> int:
    from clipkit.recipes.contrastive import RECIPES, main

    if not options.names:
        for recipe in RECIPES.values():
            print(f"{recipe.name:14}{recipe.note}")
        return 0
    for card in main(options.names, options.steps, options.folder, options.threads):
        print(card["name"], card["percent"])
    return 0


def strip(options: Namespace) -> int:
    import nbformat

    from clipkit.press import notebooks

    for name in options.files:
        path = Path(name)
        notebook = notebooks.read(path)
        before = nbformat.writes(notebook)
        after = nbformat.writes(notebooks.stripped(notebook))
        if after != before:
            path.write_text(after.rstrip("\n") + "\n")
            print(f"{path}: stripped")
    return 0
