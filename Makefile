# What a developer types. `make` alone lists it.
PORT ?= 8000
export COMFYRAY_AUTH ?= off
unexport PYTHONDONTWRITEBYTECODE # without bytecode every process compiles torch's two thousand files

python := .venv/bin/python
# ComfyUI's own editor: a package of its own, under the GPL-3, that no lock names. Also 1.58.1.
EDITOR_VERSION ?= 1.27.10
# Those of `make test-pythons`, and which tests (all).
PYTHONS ?= python3.12 python3.13 python3.14
TESTS ?=
editor := $(CURDIR)/build/editor
locks := requirements.lock requirements-cuda.lock
numerics := tests/diffusion tests/imaging tests/preprocessors tests/media tests/demo
short := not large and not clients and not packs and not faults and not cluster_faults and not openapi and not training and not inductor and not gpu_script

.PHONY: help browser client-types docs editor run key keys packs setup lint format test test-alone test-numerics test-served test-large test-clients test-packs test-faults test-cluster test-openapi test-training test-inductor test-pythons test-services npm-client image-steps test-gpu-script lock
help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

run: .venv/installed ## serve on 127.0.0.1:8000 (PORT= another) until Ctrl-C
	@PYTHONPATH="$(editor)$${PYTHONPATH:+:$$PYTHONPATH}" $(python) -m deployments.launch --end-with-parent --port $(PORT)

editor: .venv/installed ## install ComfyUI's own editor (GPL-3), which `make run` then serves at / (EDITOR_VERSION= another)
	@sh cluster/install_editor.sh $(EDITOR_VERSION) "$(editor)"
	@echo "ComfyUI's editor $(EDITOR_VERSION) is installed; make run serves it at http://127.0.0.1:$(PORT)/"

key: .venv/installed ## make an API key (ARGS="--owner acme --budget 10", more: ARGS=--help)
	@$(python) -m deployments.keys create $(ARGS)

keys: .venv/installed ## list API keys; `python -m deployments.keys` changes and revokes them
	@$(python) -m deployments.keys list

packs: .venv/installed ## list custom node packs (COMFYRAY_PACKS_DIR): which may run, which load, and why not
	@$(python) -m deployments.packs_command $(ARGS)

setup: .venv/developing ## make .venv and install what the locks name, tools for developing too

.venv/installed: $(locks) cluster/install.sh cluster/pip_settings.sh
	@sh cluster/install.sh .venv $(if $(wildcard .venv/developing),dev)
	@touch $@

.venv/developing: $(locks) requirements-dev.lock cluster/install.sh cluster/pip_settings.sh
	@sh cluster/install.sh .venv dev
	@touch .venv/installed $@

lint: setup ## linters and types
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy .

format: setup ## format, and fix what linters can
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .

docs: setup ## make the documents a site in build/docs
	@$(python) -m properdocs build --quiet --strict
	@echo "open build/docs/index.html"

clients/javascript/node_modules: clients/javascript/package-lock.json
	@npm --prefix clients/javascript ci --silent
	@touch $@

browser: ## install Debian's Chromium when none is there
	@sh cluster/install_browser.sh

client-types: .venv/developing clients/javascript/node_modules ## the JavaScript client's types, from the OpenAPI document
	@mkdir -p build
	@$(python) -m api.openapi_schemas >build/openapi_schemas.json
	@npm --prefix clients/javascript run --silent types -- $(CURDIR)/build/openapi_schemas.json

test: lint clients/javascript/node_modules browser ## linters, types and the whole suite, on free ports
	@$(MAKE) --no-print-directory -j2 test-served test-alone test-numerics

test-alone: # what needs no running application, but for the numerics
	@OMP_NUM_THREADS=1 $(python) -m pytest -m "$(short) and not cluster" $(numerics:%=--ignore=%)

test-numerics: # models, pictures and media
	@mkdir -p build
	@OMP_NUM_THREADS=1 $(python) -m pytest -m "$(short) and not cluster" $(numerics) >build/numerics.log 2>&1; code=$$?; cat build/numerics.log; exit $$code

test-served: # what needs one, at the same time; shown when it has ended
	@mkdir -p build
	@$(python) -m pytest -m "$(short) and cluster" >build/served.log 2>&1; code=$$?; cat build/served.log; exit $$code

test-large: setup ## tests over models of several gigabytes, which it makes first
	@$(python) -m pytest -m large

test-clients: setup ## comfy-cli, comfy-api-simplified, ComfyScript and Krita's plugin, which it installs into build/, over the application
	@$(python) -m pytest -m clients

test-packs: setup ## a pack's sampling over the demo model, and ComfyUI's executor tests (docs/custom_nodes.md)
	@$(python) -m pytest -m packs

test-faults: setup ## kill -9 in the middle of running jobs; figures go to build/faults.jsonl
	@$(python) -m pytest -m faults

test-cluster: setup ## faults and scaling on three Ray nodes with PostgreSQL, Redis and S3; figures go to build/cluster_*.jsonl
	@sh cluster/test_services.sh --install
	@$(python) -m pytest -m cluster_faults tests/cluster_faults

test-openapi: setup ## schemathesis over all that the OpenAPI document says, for some minutes
	@$(python) -m pytest -m openapi

test-training: setup ## every stage of the demo model's training, in two steps each
	@$(python) -m pytest -m training

test-inductor: setup ## compile models with gcc, and hold their pictures to ComfyUI's
	@$(python) -m pytest -m inductor

test-gpu-script: setup ## benchmarks/gpu.sh to its end, with small networks on the CPU
	@$(python) -m pytest -m gpu_script

test-services: setup clients/javascript/node_modules ## the suite with PostgreSQL, Redis and S3, which it installs when absent
	@sh cluster/test_services.sh -m "$(short)"

image-steps: setup ## run the Containerfile's steps in build/image, where there is no container engine
	@rm -rf build/image && mkdir -p build/image
	@$(python) -m cluster.image_steps build/image --port $(PORT)

test-pythons: ## the suite that needs no running service on other Pythons (PYTHONS="python3.12 python3.13")
	@for one in $(PYTHONS); do \
		venv=build/$$(basename $$one) && PYTHON=$$one sh cluster/install.sh $$venv dev && \
		OMP_NUM_THREADS=1 $$venv/bin/python -m pytest -m "$(short) and not cluster" $(TESTS) || exit 1; done

npm-client: ## install the hosted API's npm package, which tests/hosted then runs too (FROM= a tarball of it)
	@npm --prefix tests/hosted/js install --no-audit --no-fund --no-package-lock --no-save $(abspath $(FROM))

lock: setup ## resolve pyproject.toml into the locks again
	@PIP_PYTHON=$(python) sh -c '. cluster/pip_settings.sh && $(python) cluster/lock.py'
	@$(MAKE) --no-print-directory setup
