# Needs Python 3.11 or later. Everything else is installed into .venv by these targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := diracx_tasks diracx_api tests docs/reference

.PHONY: demo up test lint format docs bench conformance clean

demo: $(VENV)/demo-installed
	$(BIN)/diracx demo

up: $(VENV)/demo-installed
	exec $(BIN)/diracx up

test: $(VENV)/dev-installed lint
	tests/install-servers
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(PYTEST_OPTIONS)

lint: $(VENV)/dev-installed
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/mypy

format: $(VENV)/dev-installed
	$(BIN)/ruff check --fix $(PACKAGES)
	$(BIN)/ruff format $(PACKAGES)

# For readers: build/docs/index.html.
docs: $(VENV)/dev-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

bench: $(VENV)/dev-installed
	$(BIN)/python -m tests.bench overhead
	$(BIN)/python -m tests.bench tasks
	$(BIN)/python -m tests.bench api
	$(BIN)/python -m tests.bench matching
	$(BIN)/python -m tests.bench lifecycle
	$(BIN)/python -m tests.bench pilots
	$(BIN)/python -m tests.bench cwl

conformance: $(VENV)/dev-installed
	$(BIN)/python -m tests.cwl.over_http

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	touch $@

$(VENV)/dev-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	touch $@
