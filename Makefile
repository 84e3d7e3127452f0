# Everything happens in .venv, which is made at need; the stamp files in it make a second run quick.
PYTHON ?= python3
# torch comes first: what depends on it then keeps this build instead of fetching the largest one.
TORCH ?= torch==2.13.0
# Tests run side by side, file by file: the slow ones with browsers and emulators are at the front. A third of their
# time is waiting, so two cores have work for three.
JOBS ?= 3
# What takes real seconds is measured with few repetitions, unless FULL is set.
QUICK := $(if $(FULL),,--quick)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check
export GRADIO_ANALYTICS_ENABLED = False
export HF_HUB_DISABLE_TELEMETRY = 1
# Apps and tests are many processes: what one of them compiled is there for the next.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test lint style docs screenshots bench bench-gpu soak clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.run ## chat, images and adapters on a local ZeroGPU, from http://127.0.0.1:7860 on
	@$(BIN)/zerokit demo

test: style $(VENV)/.browser ## everything that CI checks
	@$(BIN)/mypy & types=$$!; \
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder && wait $$types

lint: style ## style and types
	$(BIN)/mypy

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(VENV)/.dev ## these documents as a site, in site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html. Its search needs a server: $(BIN)/python -m http.server --directory site"

screenshots: $(VENV)/.browser ## the pictures in docs/images
	$(BIN)/python docs/screenshots.py

bench: $(VENV)/.dev ## the measurements in tests/benchmarks, within half an hour; with FULL=1 all of them, for hours
	$(BIN)/python tests/benchmarks/day.py
	$(BIN)/python tests/benchmarks/waiting.py
	@for name in side_by_side reservations batch overhead startup adapters; do \
		echo "$$name $(QUICK)"; $(BIN)/python tests/benchmarks/$$name.py $(QUICK) || exit 1; done

bench-gpu: $(VENV)/.dev ## the tests and measurements that need a CUDA card
	$(BIN)/pytest tests/gpu
	$(BIN)/python tests/gpu/bench.py

soak: $(VENV)/.browser ## visitors of all plans at once, everything going wrong, the app killed midway
	$(BIN)/python tests/soak/run.py

clean: ## remove what make and the tools made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("ZeroKit needs Python 3.10 or newer. Name one: make PYTHON=python3.12")'
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.torch: | $(BIN)/python
	@echo "Installing $(TORCH): some minutes"
	@$(PIP) '$(TORCH)'
	@touch $@

$(VENV)/.run: pyproject.toml $(VENV)/.torch
	@echo "Installing ZeroKit and what it needs: some minutes"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing the tools for tests"
	@$(PIP) --editable '.[dev]'
	@touch $@

# The browser for tests/browser: Debian's without windows where it is or can be installed, else its whole one, else
# Playwright's own.
$(VENV)/.browser: $(VENV)/.dev
	@if [ -x /usr/bin/chromium-headless-shell ]; then :; \
	elif [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release && echo "Installing Chromium" && apt-get -qq update \
		&& DEBIAN_FRONTEND=noninteractive apt-get -qq install -y chromium-headless-shell >/dev/null; then :; \
	elif [ -x /usr/bin/chromium ]; then :; \
	else $(BIN)/playwright install chromium; fi
	@touch $@
