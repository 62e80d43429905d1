# Everything happens in .venv; only python3 and make are needed. Set PYTHON to choose another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check

# TensorFlow and OpenBLAS would each start a thread per core in every process of the test run.
TEST_ENV := TF_CPP_MIN_LOG_LEVEL=2 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
            OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=Agg \
            PYTHONDONTWRITEBYTECODE=  # many tests start Python: it compiles the package once
PYTEST_ARGS ?=  # for example -k relu
# Of all tests: a process per core, four at most, since each loads TensorFlow.
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadgroup
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint bench docs test-gpu bench-gpu clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r t d; do printf '  make %-9s %s\n' "$$t" "$$d"; done

run: $(VENV)/.installed-run  ## install, then train on the built-in data set (writes under runs/)
	@$(BIN)/tapegrad train

test: lint  ## install, then lint, types and the whole test suite, TensorFlow cross-checks included
	@echo "== tests"
	@$(TEST_ENV) $(BIN)/python -m pytest $(or $(strip $(PYTEST_ARGS)),$(IN_PARALLEL))

lint: $(VENV)/.installed-test  ## lint, format check and types
	@echo "== ruff check";  $(BIN)/ruff check .
	@echo "== ruff format"; $(BIN)/ruff format --check .
	@echo "== mypy";        $(BIN)/mypy

bench: $(VENV)/.installed-bench  ## time and memory against PyTorch, Keras, JAX and scikit-learn: an hour and a half (writes benchmarks/results/)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

docs: $(VENV)/.installed-docs  ## install Sphinx, and build the documentation site into docs/_build/html (minutes; then less than two)
	@$(BIN)/python docs/site/make.py

# These two install nothing: they use the machine's own CuPy and pytest.
test-gpu:  ## the tests that need a GPU, with this machine's own Python packages
	@PYTHONPATH=src $(PYTHON) -m pytest tests -m gpu $(PYTEST_ARGS)

bench-gpu:  ## the same train step on CuPy, with this machine's own Python packages
	@PYTHONPATH=src $(PYTHON) -m benchmarks gpu $(BENCH_ARGS)

clean:  ## remove .venv and everything built or cached (not runs/)
	rm -rf $(VENV) build dist docs/_build *.egg-info src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: one stamp per set of extras, renewed when pyproject.toml changes ---

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] < (3, 15) and "tapegrad needs Python 3.11 to 3.14, and $(PYTHON) is %d.%d: make PYTHON=python3.12" % v[:2])'
	@echo "== making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) -m venv failed: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/.installed-run: pyproject.toml | $(BIN)/python
	@echo "== installing tapegrad with NumPy, scikit-learn, matplotlib and pandas (the first time takes a minute)"
	@$(PIP) install --quiet --editable '.[plot,data]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "== installing tapegrad and its test tools, TensorFlow among them (about 400 MB; the first time takes some minutes)"
	@$(PIP) install --quiet --editable '.[test,plot,data]'
	@touch $(VENV)/.installed-run $@

$(VENV)/.installed-bench: $(VENV)/.installed-test
	@echo "== installing PyTorch and JAX to compare with (the first time takes some minutes)"
	@$(PIP) install --quiet --editable '.[bench,plot,data]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	@echo "== installing tapegrad and Sphinx (the first time takes a minute)"
	@$(PIP) install --quiet --editable '.[docs,plot,data]'
	@touch $@
