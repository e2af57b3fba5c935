# Every command of the project. `make help` lists them; CI and pre-commit call these and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Versions are locked for whoever develops and for CI; users get the ranges of pyproject.toml.
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKED := --constraint constraints.txt
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
SOURCES := $(RUST_SOURCES) $(shell find python -type f -not -name '*.pyc' -not -name '*.so') pyproject.toml README.md
# Two workers suit two cores; torch itself is held to one thread a worker by tests/conftest.py.
PYTEST_WORKERS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: quickstart
quickstart: $(VENV)/.installed ## Set up, then train a small language model on this machine's Python sources
	$(BIN)/slm quickstart

.PHONY: test
test: $(VENV)/.test ## Set up, then run every check that CI runs
	$(MAKE) check

.PHONY: check
check: format-check lint types layers stubs rust-test python-test bench-smoke ## All checks, on what `make dev` or `make test` set up

.PHONY: dev
dev: $(VENV)/.test ## Set up for development: the package in place, rebuilt by `make develop`

.PHONY: develop
develop: ## Rebuild the Rust extension in place, most of the speed in a third of the time
	$(BIN)/maturin develop --profile dev-release

# --- environments -------------------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "slm needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade $(LOCKED) pip

$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(PIP) install .
	@touch $@

# The wheel is built once; the environment, the tests and the fresh-venv test all use that file.
dist/.built: $(SOURCES) | $(BIN)/python
	rm -rf dist && mkdir -p dist
	$(PIP) wheel --no-deps --wheel-dir dist .
	@touch $@

$(VENV)/.test: dist/.built constraints.txt pyproject.toml tools/system-packages | $(BIN)/python
	tools/system-packages
	wheel=$$(ls dist/*.whl) && $(PIP) install $(LOCKED) "$$wheel[test,lint]" \
	  && $(PIP) install --quiet --no-deps --force-reinstall "$$wheel"
	@touch $@

.PHONY: wheel
wheel: dist/.built ## Build the abi3 wheel into dist/

.PHONY: lock
lock: $(BIN)/python ## Write constraints.txt anew from what the ranges resolve to today
	$(BIN)/python tools/lock.py > constraints.txt.new && mv constraints.txt.new constraints.txt
	cargo update

# --- checks -------------------------------------------------------------------------------------------------------

.PHONY: format
format: ## Format Rust and Python
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --exit-zero --quiet .

.PHONY: format-check
format-check:
	cargo fmt --check
	$(BIN)/ruff format --check .

.PHONY: lint
lint: ## Clippy and ruff, warnings as errors
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff check .

.PHONY: types
types: ## Pyright in strict mode over the public package
	$(BIN)/pyright --pythonpath $(BIN)/python

.PHONY: layers
layers: ## Imports point down only
	PYTHONPATH=python $(BIN)/lint-imports

.PHONY: stubs
stubs: ## Compare python/slm/_core.pyi with the extension
	$(BIN)/python tools/stubs.py --check

.PHONY: rust-test
rust-test: ## Tests of the Rust core
	cargo test --workspace --locked --quiet

.PHONY: python-test
python-test: ## Tests of the Python package
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)

# About twenty minutes on two cores; `make test` tries the first few hundred. A failure names the command that repeats it.
FUZZ_CASES ?= 20000

.PHONY: fuzz
fuzz: ## Training on random corpora: ours, Hugging Face and naive twins must agree
	$(BIN)/python -m benches.differential --cases $(FUZZ_CASES)
	SLM_FUZZ_CASES=$(FUZZ_CASES) cargo test -p slm-core --locked --release --test train --test extend

# Files of the language and kind that matter to you, in UTF-8; nothing of the kind is in the repository.
TEXT ?=
MEGABYTES ?= 200
SEED ?= 1
# Names, names with a number of digits (gpt2:2), or one regex.
PATTERNS ?= all

.PHONY: check-patterns
check-patterns: ## Scanners against their regexes, cut anywhere, on 200 MB mixed from the files in TEXT
	@test -n "$(strip $(TEXT))" || { printf '%s\n\n%s\n' '`TEXT` is empty, it must name files with text to mix' \
	  'hint: make check-patterns TEXT="books.txt code.c news.txt"' >&2; exit 2; }
	cargo run -p slm-core --locked --release --example check_patterns -- $(MEGABYTES) $(SEED) '$(PATTERNS)' $(TEXT)

.PHONY: bench-smoke
bench-smoke: ## Each bench for a few seconds on data that it makes itself
	$(BIN)/python -m benches --smoke

.PHONY: bench
bench: ## Every bench, ours and the peers, into benches/results/
	$(BIN)/python -m benches --out benches/results

.PHONY: clean
clean: ## Remove everything that was built or installed here
	rm -rf target dist $(VENV) build .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache benches/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/slm/_core*.so
