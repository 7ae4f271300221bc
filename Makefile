# Needs Python 3.11 or newer and make; nothing else. `make` alone lists the targets.
# An own Python: make PYTHON=python3.12 install

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# `demo` and `dev` share one Dagster home, so that the demo's runs are there when the UI opens.
VAR := $(CURDIR)/var
export DAGSTER_HOME := $(VAR)/dagster
HOST ?= 127.0.0.1
PORT ?= 3000

# Two workers: the test servers (Postgres, S3) of more would crowd out the tests on a small machine.
TEST_WORKERS ?= 2
TESTS ?= etl_platform_tests
PYTEST := $(BIN)/python -m pytest
BENCHMARKS ?= $(subst /,.,$(basename $(shell grep -l __main__ benchmarks/*.py)))
UV := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

##@ Start

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## Install everything into .venv from the lock, checked by hash

.PHONY: demo
demo: $(STAMP) $(DAGSTER_HOME)/dagster.yaml ## Sample files through the whole platform on this machine, results as a table
	@$(BIN)/etl-platform demo

.PHONY: dev
dev: $(STAMP) $(DAGSTER_HOME)/dagster.yaml ## The UI with daemon on http://127.0.0.1:3000 (HOST=, PORT=)
	@$(BIN)/dagster dev --workspace workspace.yaml --host $(HOST) --port $(PORT)

##@ Check

.PHONY: test
test: $(STAMP) ## All tests; CI=true runs the long ones too, and measures coverage (TESTS=path, TEST_WORKERS=n)
	@$(PYTEST) $(TESTS) --numprocesses $(TEST_WORKERS) --dist loadscope $(if $(CI),--cov --cov-report=term)

.PHONY: test-fast
test-fast: $(STAMP) ## Tests without long ones, browser and coverage; stops at the first failure (TESTS=path)
	@$(PYTEST) $(TESTS) --numprocesses $(TEST_WORKERS) --dist loadscope -m "not long and not browser" --exitfirst

.PHONY: check
check: $(STAMP) ## Lint, format, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(STAMP) ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: benchmark
benchmark: $(STAMP) ## Measure speed and memory against the reference points (BENCHMARKS=benchmarks.silver)
	@for module in $(BENCHMARKS); do $(BIN)/python -m $$module || exit 1; done

##@ Maintain

.PHONY: lock
lock: $(STAMP) ## Resolve pyproject.toml into requirements/ (UPGRADE=1 takes newer versions)
	@$(UV) --all-extras --output-file requirements/lock.txt
	@$(UV) --extra build --constraint requirements/lock.txt --output-file requirements/runtime.txt

.PHONY: docs
docs: $(STAMP) ## Write the dataset pages from the contracts
	@$(BIN)/etl-platform docs

.PHONY: clean
clean: ## Remove the environment, caches and everything below var/
	rm -rf $(VENV) $(VAR) dist htmlcov .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find etl_platform etl_platform_tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than lock and metadata, or pip runs again.
$(STAMP): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "etl-platform needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), about a minute ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DAGSTER_HOME)/dagster.yaml: dagster.yaml
	@mkdir -p $(@D)
	@cp $< $@
