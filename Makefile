# Every target does its own set-up in .venv: nothing is needed but Python 3.11 or newer, make and git.
#
#   make demo                 the main job on a bundled real data set
#   make test                 lint, types, architecture, tests
#   make test-all             also the slow tests
#   make claims ROOM=noisy    does each method of a room do what its paper says? (ROOM=all: every room)
#   make bench                speed beside every peer in one table (a quarter of an hour), written to docs/benchmarks.md
#   make bench-all            every benchmark of docs/benchmarks.md, long ones too (some hours)
#   make fuzz                 hostile rows, labels and files for ten minutes each (FUZZ_SECONDS=600)
#   make faults               kills, full disks, two processes: commands fail at every point and go on (KILLS=100)
#   make docs                 the documentation, built to site/
#   make audit-dependencies   are there known weaknesses in what is installed?
#   make constraints          write constraints.txt: the core's versions and hashes, for this platform
#   make clean                remove what the other targets made, except .venv and runs/
#
# Any torch >= 2.6 will do (a CPU build is enough): make test TORCH='torch>=2.6'

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
TORCH ?= torch==2.13.0
ROOM ?= all
KILLS ?= 100
FUZZ_SECONDS ?= 600
BIN := .venv/bin
RUN := OMP_NUM_THREADS=1 $(BIN)/python -m
QUIET := --quiet --disable-pip-version-check
# Stamps live inside .venv, so that deleting it starts afresh.
CORE := .venv/.stamp-core
DEV := .venv/.stamp-dev
DOCS := .venv/.stamp-docs
FUZZ := .venv/.stamp-fuzz
BENCH := .venv/.stamp-bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format claims bench bench-all fuzz faults docs clean audit-dependencies constraints
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

$(CORE): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no python3 found; install Python 3.11 or newer, or set PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; set PYTHON= to a newer one" >&2; exit 1; }
	@echo "Setting up .venv (a few minutes the first time) ..."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install $(QUIET) '$(TORCH)'
	@$(BIN)/python -m pip install $(QUIET) -e .
	@touch $@

$(DEV): $(CORE)
	@echo "Installing the development tools and the peers used in tests ..."
	@$(BIN)/python -m pip install $(QUIET) -e '.[dev]'
	@touch $@

$(DOCS): $(CORE)
	@$(BIN)/python -m pip install $(QUIET) -e '.[docs]'
	@touch $@

demo: $(CORE)
	@$(BIN)/labelwise demo

test: lint
	$(RUN) pytest -n 2 -m "not slow"

test-all: lint
	$(RUN) pytest -n 2

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

claims: $(DEV)
	$(RUN) benchmarks.claims $(ROOM)

$(BENCH): $(DEV)
	@$(BIN)/python -m pip install $(QUIET) -e '.[bench]'
	@touch $@

bench: $(BENCH)
	$(BIN)/python -m benchmarks suite

bench-all: $(BENCH)
	$(BIN)/python -m benchmarks

$(FUZZ): $(DEV)
	@$(BIN)/python -m pip install $(QUIET) -e '.[fuzz]'
	@touch $@

fuzz: $(FUZZ)
	@status=0; \
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) pytest -n 2 tests/fuzz || status=1; \
	for group in readers loader; do \
	  $(RUN) tests.fuzz.coverage $$group --seconds $(FUZZ_SECONDS) || status=1; \
	done; exit $$status

faults: $(DEV)
	$(RUN) tests.faults --kills $(KILLS)
	FAULTS_EVERY=1 $(RUN) pytest -n 2 tests/faults

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html"

audit-dependencies: $(DEV)
	@$(BIN)/python .ci/audit_dependencies.py

constraints: $(DEV)
	@$(BIN)/python .ci/constraints.py > constraints.txt.part
	@mv constraints.txt.part constraints.txt

clean:
	rm -rf site dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .cache
	find src tests benchmarks docs examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
