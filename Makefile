# `make demo`, `make test` and `make test-slow` need Python 3.11 or newer with pip, and nothing else: they build .venv first.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
OUT ?=  # directory of the demo; by default runs/demo, or the first free of runs/demo-2, ...

.PHONY: demo test test-slow docs clean

demo: $(VENV)/installed
	$(BIN)/keras-pibnas demo $(addprefix --out ,$(OUT))

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow

docs: $(VENV)/installed-dev
	$(BIN)/python docs/build_api.py

# Debian keeps ensurepip in a package of its own; without it, the pip that is there installs another one.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: pass PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install pip; }

# The stamps: an installation is redone only when the package's metadata changes.
$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo 'Installing into $(VENV); TensorFlow is large, so the first time takes some minutes.'
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	@echo 'Installing into $(VENV); TensorFlow is large, so the first time takes some minutes.'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
