# Two commands do everything, set-up included: `make book` and `make test`.
PYTHON ?= python3
# Where torch comes from. The default is PyTorch's own index of CPU builds; when it is out of reach,
# the ordinary registry is used. GPU users: `make TORCH_INDEX=https://download.pytorch.org/whl/cu130 book`.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
JOBS ?= 1
PRESET ?= quick

BIN := .venv/bin
BUILDER := PYTHONPATH=book $(BIN)/python -m builder
STAMP := .venv/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLBACKEND := agg

.PHONY: book test page check new size readme strip pretrain pdf lint unit bench records clean clean-all help
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --no-deps --retries 0 --timeout 10 --index-url $(TORCH_INDEX) $$(grep -E '^(torch|torchvision)==' requirements.lock) 2>/dev/null \
		|| echo "$(TORCH_INDEX) is out of reach: torch comes from the default registry"
	@$(BIN)/pip install --quiet -r requirements.lock 2>&1 | grep -v "is ignored: it is neither" || true
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable . 2>&1 | grep -v "is ignored: it is neither" || true
	@$(BIN)/python -c 'import clipkit.press.cli, torch, open_clip' 2>/dev/null || $(BIN)/python -c 'import clipkit.press.cli; from clipkit.compat import import_open_clip; import_open_clip()'
	@touch $@

book: $(STAMP)  ## run every notebook in `quick`, build the site, print where to open it
	@$(BUILDER) book --preset $(PRESET) --jobs $(JOBS)

page: $(STAMP)  ## run and rebuild one page: make page NB=zero_shot_classification
	@test -n "$(NB)" || { echo "name the page: make page NB=<slug>"; exit 1; }
	@$(BUILDER) page $(NB) --preset $(PRESET)

check: $(STAMP)  ## lint, tests, smallest preset and size of one page, in under a minute: make check NB=gda_adapter
	@test -n "$(NB)" || { echo "name the page: make check NB=<slug>"; exit 1; }
	@OMP_NUM_THREADS=1 $(BUILDER) check $(NB)

new: $(STAMP)  ## start a page: make new NB=laclip (a bare notebook), make new NB=laclip LIKE=gda_adapter (a copy to rewrite)
	@test -n "$(NB)" || { echo "name the page: make new NB=<slug>"; exit 1; }
	@$(BUILDER) new $(NB) $(if $(LIKE),--like $(LIKE))

size: $(STAMP)  ## lines of the package and of the builder, room by room and page by page
	@$(BUILDER) size

readme: $(STAMP)  ## rewrite what is made of the registry: the README's table, book/references.bib
	@$(BUILDER) readme

strip: $(STAMP)  ## take the outputs out of notebooks, renew their first cell: make strip FILES=notebooks/part/page.ipynb
	@test -n "$(FILES)" || { echo "name the notebooks: make strip FILES=<path>"; exit 1; }
	@$(BUILDER) strip $(FILES)

pretrain: $(STAMP)  ## make a shipped checkpoint anew: make pretrain NAME=nano-vqa, with DATA=FOLDER where it learns from photographs
	@$(BUILDER) pretrain $(NAME) $(if $(DATA),--data $(DATA))

pdf: book  ## the whole book as one PDF (needs chromium: apt install chromium)
	@$(BUILDER) pdf --preset $(PRESET)

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

test: $(STAMP) lint  ## lint, unit tests, every notebook in `smoke`, site checks
	@OMP_NUM_THREADS=1 CLIPKIT_PRESET=smoke $(BIN)/python -m pytest -q -n 2 --dist loadfile --durations 15
	@$(BIN)/clipkit record --list-stale

unit: $(STAMP)  ## unit tests only
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/unit

bench: $(STAMP)  ## speed, as ratios against named peers
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q tests/benchmarks/test_bench_*.py --bench

records: $(STAMP)  ## run again, in `full`, what the committed records no longer match
	@$(BIN)/clipkit record --stale

clean:  ## remove what was built; keep trained artefacts and features
	rm -rf book/_build data/runs data/site

clean-all: clean  ## also the caches and the environment
	rm -rf data/cache .venv
