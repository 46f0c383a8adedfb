# `make demo` deploys the bundled example; `make test` checks everything. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 300

# What the compiled modules are made from: a change of one of these installs the package again.
BUILD_INPUTS := pyproject.toml CMakeLists.txt $(wildcard dory/*.pyx dory/*.pxd) \
	$(shell find dory/sim -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]' -o -name CMakeLists.txt 2>/dev/null)
C_SOURCES = $(shell find csrc -name '*.c' -o -name '*.h')

.DEFAULT_GOAL := help
.PHONY: help demo test check lint format fuzz mutants calibrate accuracy clean apt-demo apt-test \
	lint-style lint-types lint-contracts lint-c
.DELETE_ON_ERROR:
.NOTPARALLEL:

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: apt-demo $(VENV)/.demo ## install into .venv, deploy the bundled example, verify it, print the report
	$(BIN)/python examples/digits/demo.py

test: apt-test lint check ## everything: system packages, .venv, all linters, all tests

check: $(VENV)/.test ## all tests, without the linters and the system packages
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

lint: lint-style lint-types lint-contracts lint-c ## ruff, mypy, import contracts, clang-format

lint-style: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-types: $(VENV)/.test
	$(BIN)/mypy

lint-contracts: $(VENV)/.test
	$(BIN)/lint-imports

lint-c: $(VENV)/.test
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)

format: $(VENV)/.test ## rewrite Python and C sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

fuzz: $(VENV)/.test ## the property tests with many random examples, then `dory fuzz` for FUZZ_SECONDS at every level
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n $(JOBS) -m hypothesis --timeout 0 $(PYTEST_ARGS)
	for level in tile host sim; do $(BIN)/python -m dory fuzz --level $$level --seconds $(FUZZ_SECONDS) || exit 1; done

mutants: $(VENV)/.test ## deploy 10,000 damaged network files: none may end in a traceback, hang, or leave files behind
	$(BIN)/python tools/mutants.py

calibrate: $(VENV)/.test ## measure the cycle model's coefficients anew in the simulator, after a kernel has changed
	$(BIN)/python tools/calibrate.py

accuracy: $(VENV)/.test ## hold the cycle model against the simulator, write docs/accuracy.md
	$(BIN)/python benchmarks/accuracy.py --write

clean: ## remove .venv, caches and everything built
	rm -rf $(VENV) build dist .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

apt-demo apt-test: apt-%:
	@PYTHON=$(PYTHON) tools/apt.sh $*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "dory needs Python 3.10 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BUILD_INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	@touch $@

$(VENV)/.test: $(BUILD_INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo,test,dev]'
	@touch $@ $(VENV)/.demo
