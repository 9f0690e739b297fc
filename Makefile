# make run       set up, then train on the embedded survey and print the scores
# make test      set up, then run the tests without the long ones
# make test-all  set up, then run the long tests too
# make check     set up, then check style, import contracts, types and the documentation (about a minute)
# make ui        look at all runs in the MLflow UI
# make docs      set up, then build the documentation as a site in site/

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
MMAE_HOME ?= $(HOME)/mmae
export MMAE_HOME

.PHONY: run test test-all check ui docs setup

run: setup
	$(BIN)/python ray_jobs/pretrain.py

test: setup
	$(BIN)/python -m pytest -n 2 -m "not long and not slow"

test-all: setup
	$(BIN)/python -m pytest -n 2

check: setup docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

ui: setup
	@echo "open http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(MMAE_HOME)/mlflow/mlflow.db

docs: $(VENV)/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

setup: $(VENV)/installed

# torch first and alone: on a machine whose pip offers a CPU build of this version, that
# build is taken, and the second line keeps it.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/docs-installed: $(VENV)/installed
	$(BIN)/python -m pip install -c constraints.txt -e ".[docs]"
	touch $@
