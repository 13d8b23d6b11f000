# Everything a newcomer needs is `make run` and `make test`; `make help` lists the rest.
# Variables: PORT= and HOTLINE_HOME= for run, PYTHON= for the interpreter, ARGS= for pytest,
#            BROWSER=no leaves the browser tests out, JOBS= how many test processes (each with servers of its own).

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=
# Bytecode is what makes a second start quick.
unexport PYTHONDONTWRITEBYTECODE
BROWSER ?= yes
JOBS ?= auto
# A test process waits for its servers as often as it computes, and each starts a database of its own.
SIDE_BY_SIDE := -n $(JOBS) --maxprocesses 4 --dist loadfile

ifeq ($(BROWSER),no)
BROWSER_OPTION :=
PYTEST := $(BIN)/python -m pytest -m "not browser"
else
BROWSER_OPTION := --browser
PYTEST := $(BIN)/python -m pytest
endif

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## Start everything on this machine and print the address (PORT=12345 HOTLINE_HOME=var)
	@bin/bootstrap requirements.lock
	@exec $(BIN)/hotline run

.PHONY: test
test: ready ## Run all tests (ARGS="-k ticket" chooses, BROWSER=no leaves the browser out)
	@$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

.PHONY: sure
sure: ready ## Everything that must hold before a commit: format, lint, types, imports, tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report

.PHONY: ready
ready: ## Install what the tests need, and nothing more
	@bin/bootstrap requirements-dev.lock $(BROWSER_OPTION)

.PHONY: format
format: ready ## Put the code into the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: ready ## Measure the running system over HTTP and write the tables
	$(BIN)/python -m bench $(ARGS)

.PHONY: bench-classifier
bench-classifier: ready ## Measure the text model
	$(BIN)/python -m bench.classifier $(ARGS)

.PHONY: screenshots
screenshots: ready ## Take the pictures in docs/ from the demonstration city
	$(BIN)/python -m bench.screenshots $(ARGS)

.PHONY: lock
lock: ready ## Pin the newest versions that pyproject.toml allows, with hashes
	@bin/bootstrap --relock

.PHONY: clean
clean: ## Remove what can be made again (var/, the data, stays)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
