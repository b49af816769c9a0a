# The course's commands. `make help` lists them; the README gives the same steps without make.
#
# A fresh machine needs Python 3.11, 3.12 or 3.13 with venv, and the network once. After that everything works offline.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY  := $(VENV)/.ready
BOOK   := _build/html
BUILT  := _build/.book
# Folders are named too: their time changes when a file goes.
SOURCES := _config.yml _toc.yml scripts/check_book.py $(wildcard results/*.json) $(shell find book chapters xferkit \
    \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -o -print)

# What the tests and the book run with. Change one on the command line: make test WORKERS=1
WORKERS    ?= 2
NBVAL      := --nbval-lax --nbval-current-env --nbval-cell-timeout=600
BOOK_FLAGS ?= -W -n --keep-going

.DEFAULT_GOAL := help
.PHONY: help setup book pdf test site links weigh lab run lint lock clean

help:  ## list these commands
	@echo "Usage: make COMMAND"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=python3.12 (for the set-up), ONLY=\"03 16\" (for run), XFERKIT_DEVICE, XFERKIT_PROFILE (README)"

setup: $(READY)  ## only set up the environment in .venv

book: $(BUILT)  ## build the book from the stored outputs
	@echo "The book is built. Open it with a browser: file://$(CURDIR)/$(BOOK)/index.html"

# After a failure the next build starts afresh: Sphinx repeats no warning about a page that it has already read. So it does
# when one of the book's extensions has changed, which Sphinx does not notice.
$(BUILT): $(READY) $(SOURCES)
	@[ ! -e $@ ] || [ -z "$$(find book/_ext book/_templates book/live book/live.toml -type f ! -name '*.pyc' -newer $@)" ] \
	    || rm -rf _build/.doctrees
	$(BIN)/jupyter-book build . $(BOOK_FLAGS) || { rm -rf _build/.doctrees; exit 1; }
	$(BIN)/python scripts/check_book.py $(BOOK)
	@touch $@

pdf: $(BUILT)  ## print the whole book into _build/book.pdf (needs Chromium)
	$(BIN)/python scripts/build_pdf.py $(BOOK) _build/book.pdf

test: $(READY)  ## run the unit tests and every chapter
	$(BIN)/python -m pytest tests grader/tests chapters $(NBVAL) -n $(WORKERS) --dist loadfile

site: $(READY)  ## look at the built book in a browser (needs Chromium)
	XFERKIT_SITE_TESTS=require $(BIN)/python -m pytest tests/site

links: $(BUILT)  ## list the addresses outside the book (CHECK=--check asks each)
	$(BIN)/python scripts/external_links.py $(BOOK) $(CHECK)

weigh: $(BUILT)  ## weigh the built pages and time their first words (needs Chromium)
	$(BIN)/python scripts/weigh_book.py $(BOOK)

lab: $(READY)  ## open JupyterLab in the chapters
	$(BIN)/jupyter lab --notebook-dir=. chapters

run: $(READY)  ## re-execute the chapters in place (ONLY="03 16" for some)
	$(BIN)/python scripts/run_chapters.py $(ONLY)
	$(BIN)/python scripts/build_evidence.py
	$(BIN)/python scripts/build_results.py

lint: $(READY)  ## check style, types, and that imports point one way
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(READY)  ## resolve the versions in requirements.txt again
	@uv="$$(command -v uv || echo .uv/bin/uv)"; \
	"$$uv" pip compile --universal --generate-hashes --all-extras pyproject.toml grader/pyproject.toml -o requirements.txt \
	    --python-version 3.11 --custom-compile-command "make lock"

clean:  ## remove the built book and the environment
	rm -rf _build $(VENV) .uv

# The environment: made once, and brought up to date when the lock changes (this asks the network) or the packages'
# metadata do (this does not). `uv` is asked only here, so that every command above works offline afterwards.
$(LOCKED): requirements.txt
	@PYTHON="$(PYTHON)" bash scripts/setup.sh packages
	@touch $@

$(READY): $(LOCKED) pyproject.toml grader/pyproject.toml
	@PYTHON="$(PYTHON)" bash scripts/setup.sh course
	@touch $@
