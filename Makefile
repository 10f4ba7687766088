# `make study` and `make test` are all that a fresh machine needs: each builds .venv on first use.
# Variables count only if they are given on make's command line, and only if they have a value.

VENV    := .venv
BIN     := $(VENV)/bin
HARNESS := $(BIN)/harness

# Settings of other Python projects on this machine must not reach .venv.
unexport PYTHONPATH PYTHONHOME
PIP     := PIP_USER=0 PIP_TARGET= PIP_PREFIX= PIP_ROOT= PIP_PYTHON= PIP_NO_DEPS=0 PIP_DRY_RUN=0 \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The value of a variable that is given on the command line. NAME or WORKERS in the environment are ignored.
given = $(if $(filter command,$(firstword $(origin $(1)))),$(strip $($(1))))
# A flag for such a variable.
flag = $(if $(call given,$(1)),--$(2) "$($(1))")

STUDY_FILE = $(or $(call given,STUDY),beat_lecture)
PYTHON3 = $(or $(strip $(PYTHON)),python3)

COMMON  = $(call flag,STORAGE,storage)
SETTINGS = $(call flag,NAME,name) $(call flag,TRIALS,trials) $(call flag,MINUTES,minutes) \
	$(call flag,WORKERS,workers) $(call flag,CORPUS,corpus) \
	$(call flag,FINALISTS,finalists) $(call flag,SEEDS,seeds) $(call flag,SEED,seed) \
	$(call flag,SAMPLER,sampler) $(call flag,PRUNER,pruner) $(COMMON)
# The name of a stored study: NAME if it is given, else that of the study file.
STORED  = "$(or $(call given,NAME),$(STUDY_FILE))" $(call flag,CORPUS,corpus) $(COMMON)

# What to test: folders, files or single tests, if any were named.
TESTS = $(call given,T)

.DEFAULT_GOAL := help
.PHONY: help study dashboard report holdout bench docs test coverage lint typecheck clean

help:  ## List the targets
	@echo "make study STUDY=beat_lecture NAME= TRIALS= MINUTES= FINALISTS= SEEDS= WORKERS= CORPUS= SEED= SAMPLER= PRUNER= STORAGE="
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

study: $(VENV)/.run  ## Search on all cores and write results/; run it again to resume
	@$(HARNESS) study "$(STUDY_FILE)" $(SETTINGS)

dashboard: $(VENV)/.run  ## Serve the Optuna dashboard for every study, on 127.0.0.1:8080 (PORT=)
	@$(HARNESS) dashboard $(call flag,PORT,port) $(COMMON)

report: $(VENV)/.run  ## Rewrite pages, tables and plots from the stored trials of every study (NAME= for one)
	@$(HARNESS) report $(if $(call given,NAME)$(call given,STUDY),$(STORED),$(COMMON))

holdout: $(VENV)/.run  ## Open the test split, once, for the study's winner (RESUME=1 after a crash, VERIFY=1 to check the ledger, HEAD= a hash it must contain)
	@$(HARNESS) holdout $(call flag,HEAD,head) $(if $(filter 1,$(call given,VERIFY)),--verify $(COMMON),$(STORED) $(if $(filter 1,$(call given,RESUME)),--resume)) || [ $$? -eq 3 ]

bench: $(VENV)/.bench  ## Compare this trainer with others, and its advice with random changes (SECTIONS="steps neighbour exact target study advice", or ideas)
	@$(HARNESS) bench $(call given,SECTIONS)

docs: $(VENV)/.dev  ## Write pages for every public module and for the command line into results/docs/
	@$(BIN)/python docs/build.py

test: $(VENV)/.dev  ## All tests, on up to four cores (T=tests/store for a folder; a file or one test by its id also works)
	@$(BIN)/python -m pytest $(TESTS)

coverage: $(VENV)/.dev  ## All tests, with line coverage; fails below the minimum set in pyproject.toml
	@$(BIN)/python -m pytest --durations=15 --cov --cov-report=term

lint: $(VENV)/.dev  ## Run ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

typecheck: $(VENV)/.dev  ## Run mypy, strict on harness
	@$(BIN)/mypy

clean:  ## Remove .venv and caches; keep data, storage, ledger and results
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
	find harness studies tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "harness needs Python 3.11 or newer as $(PYTHON3); name another with PYTHON=python3.12"; exit 2; }
	@echo "First use: building $(VENV) (a minute or two)"
	@$(PYTHON3) -m venv $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/.python
	@$(PIP) -e .
	@touch $@

# JAX is one of several contenders. If it cannot be installed, the bench says so and runs without it.
$(VENV)/.bench: $(VENV)/.run
	@{ $(PIP) -e '.[bench]' && touch $@; } || \
		echo "JAX could not be installed; the bench runs without it"

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) -e '.[dev]'
	@touch $@
