# `make` lists what there is. Two commands matter to a newcomer: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH_VERSION := $(shell sed -n 's/^torch==//p' base-image/requirements.in)
# A folder with torch's CPU wheel spares the download of the CUDA build: CLASSIFIER_WHEELS, or a folder `wheels` next door.
export CLASSIFIER_WHEELS ?= $(abspath $(firstword $(wildcard wheels ../wheels ../*/wheels)))
LOCALCLUSTER := $(PYTHON) tests/localcluster
SOURCES := base-image/src trainer-image/src server-image/src operator/src tests examples
export PYTHONPATH := $(subst $() ,:,$(addprefix $(CURDIR)/,base-image/src trainer-image/src server-image/src operator/src tests))

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/ready  ## From a bare machine to an answering classifier (cluster, images, chart, training, question)
	$(BIN)/python examples/demo.py $(DEMO_FLAGS)

test: check unit contract browser integration e2e  ## Everything: checks, unit, contract, browser, integration, end to end
	@echo "make test: everything passed"

check: lint types imports drift  ## Lint, types, import layers, drift of generated files; writes nothing

lint: $(VENV)/ready
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/ready
	$(BIN)/mypy $(SOURCES)

imports: $(VENV)/ready
	$(BIN)/lint-imports

drift: $(VENV)/ready
	$(BIN)/python -m classifier_operator.api.crdgen --check

generate: $(VENV)/ready  ## Write crds/ and the chart's copy anew from the pydantic models
	$(BIN)/python -m classifier_operator.api.crdgen

unit: $(VENV)/ready  ## Unit tests (no cluster)
	$(BIN)/pytest tests/unit -m "not e2e and not integration and not browser"

contract: $(VENV)/ready  ## What one part writes is what the other reads
	$(BIN)/pytest tests/contract

browser: $(VENV)/ready  ## The report and the playground in a real browser (Debian's chromium, installed if missing)
	$(BIN)/python -m support.browser --install
	$(BIN)/pytest tests -m browser

integration: $(VENV)/ready  ## Against a real API server (etcd and kube-apiserver only)
	$(LOCALCLUSTER) up --control-plane --install
	$(BIN)/pytest tests -m integration

e2e: $(VENV)/ready install  ## On the whole node: pods, claims, Services
	$(BIN)/pytest tests -m e2e

cluster-up:  ## Start the local cluster (KUBECONFIG's with --use-current, kind with Docker, else a bare node)
	$(LOCALCLUSTER) up --install

cluster-down:  ## Remove the local cluster; cached binaries and images stay
	$(LOCALCLUSTER) down

images:  ## Build the four images with Docker, or with buildah
	$(LOCALCLUSTER) images

install: $(VENV)/ready  ## Cluster up, images built and loaded, chart installed
	$(BIN)/python -m support.install

bench: $(VENV)/ready  ## Run one benchmark: make bench NAME=reconcile
	$(BIN)/python tests/bench/$(NAME).py

# torch is not in the pinned requirements of the images: CPU or CUDA is a choice of each build.
$(VENV)/ready: requirements-dev.txt base-image/requirements.in
	@echo "== development environment in $(VENV)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, e.g. make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --no-deps $(if $(CLASSIFIER_WHEELS),--find-links $(CLASSIFIER_WHEELS)) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null \
	  || { echo "== no CPU build of torch at hand, taking the package index's (large)"; $(BIN)/pip install -q --require-hashes --no-deps -r base-image/requirements-cuda.txt; }
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements-dev.txt
	@touch $@

COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate
IMAGES_IN := base-image/requirements.in trainer-image/requirements.in server-image/requirements.in operator/requirements.in
requirements: $(VENV)/ready  ## Pin all requirements anew (versions and hashes, no addresses)
	PATH="$(CURDIR)/$(BIN):$$PATH"; full=$$(mktemp); $(COMPILE) base-image/requirements.in -o $$full; \
	gpu=$$(sed -nE 's/^(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==.*/--no-emit-package \1/p' $$full); \
	common=$$(sed -nE 's/^([a-z0-9-]+)==.*/\1/p' $$full | grep -vE '^(torch|triton|cuda-|nvidia-)' | sort -u | sed 's/^/--no-emit-package /'); \
	$(COMPILE) $$gpu base-image/requirements.in -c $$full -o base-image/requirements.txt; \
	$(COMPILE) $$common base-image/requirements.in -c $$full -o base-image/requirements-cuda.txt; \
	for image in trainer-image server-image; do \
	  $(COMPILE) $$gpu $$image/requirements.in base-image/requirements.in -c $$full -o $$image/requirements.txt; done; \
	$(COMPILE) operator/requirements.in -c $$full -c server-image/requirements.txt -o operator/requirements.txt; \
	$(COMPILE) $$gpu requirements-dev.in $(IMAGES_IN) -c $$full -c trainer-image/requirements.txt -c server-image/requirements.txt \
	  -c operator/requirements.txt -o requirements-dev.txt; rm $$full

version:  ## Write one version everywhere: make version V=0.2.0
	@[[ "$(V)" =~ ^[0-9]+\.[0-9]+\.[0-9]+$$ ]] || { echo "write make version V=1.2.3"; exit 2; }
	sed -i 's/^version = ".*"/version = "$(V)"/' pyproject.toml
	sed -i 's/^version: .*/version: $(V)/; s/^appVersion: .*/appVersion: "$(V)"/' helm/classifier-operator/Chart.yaml

clean:  ## Remove caches inside the tree
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help demo test check lint types imports drift generate unit contract browser integration e2e cluster-up cluster-down images install bench requirements version clean
