# Everything a fresh machine needs: `make sweep` runs the miniature study, `make test` the tests.
PYTHON ?= python3
SWEEP ?= miniature
ARGS ?=
TORCH_ARGS ?=
BIN := .venv/bin

.PHONY: help setup deepspeed vllm-env harness s3-env ray-env sweep report status test quick coverage docs lint types audit clean
.DEFAULT_GOAL := help

help:             ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12
	@echo
	@echo "  make sweep SWEEP=miniature_full ARGS='seeds=[0,1]'   another study, with overrides"

setup: .venv/ready  ## make the environment (.venv)

# torch goes first, by its pin: whatever asks for it later finds it there.
.venv/ready: pyproject.toml constraints.txt
	@echo "setup: making the environment in .venv (a minute or two)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q $(TORCH_ARGS) "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

# Not in .venv: where transformers finds DeepSpeed, it imports it in every process that saves a model.
deepspeed: .deepspeed/ready  ## DeepSpeed, for the tests of hardware.strategy=zero3 (.deepspeed)

.deepspeed/ready: .venv/ready
	@rm -rf .deepspeed
	@$(BIN)/python -m pip install -q --no-deps --target .deepspeed $$(grep -E '^(deepspeed|einops|hjson|msgpack|ninja|py-cpuinfo)==' constraints.txt)
	@touch $@

# vLLM pins torch and transformers: it generates in a Python of its own (eval.python, docs/generation.md).
vllm-env: .vllm/ready  ## vLLM for CPUs, for eval.python=.vllm/bin/python (.vllm)

.vllm/ready: constraints-vllm.txt
	@echo "vllm-env: making vLLM's environment in .vllm (3 GB, some minutes)"
	@rm -rf .vllm && $(PYTHON) -m venv .vllm
	@.vllm/bin/python -m pip install -q $(TORCH_ARGS) "$$(grep '^torch==' $<)"
	@.vllm/bin/python -m pip install -q --no-deps -r $<
	@touch $@

# Not in .venv either: transformers imports what it brings (scikit-learn) in every process. Beside the pinned
# python-dateutil 4 its typepy is an old one, which works.
harness: .harness/ready  ## lm-evaluation-harness, for the tests of source=lm_eval (.harness)

.harness/ready: .venv/ready tests/lm_eval_requirements.txt
	@rm -rf .harness
	@$(BIN)/python -m pip install -q --no-deps --target .harness -r tests/lm_eval_requirements.txt
	@touch $@

# A server of the S3 API for tests/core/test_s3.py, which runs with CI_S3=1; it wants packages that we don't.
s3-env: .s3/ready  ## moto, for the tests of a store at s3://... (.s3)

.s3/ready:
	@rm -rf .s3 && $(PYTHON) -m venv .s3
	@.s3/bin/python -m pip install -q 'moto[s3,server]==5.2.5'
	@touch $@

# Not in .venv: only a cluster's nodes and the sweep before it need Ray's 240 MB.
ray-env: .ray/ready  ## Ray, for the tests of launch=ray, which run with CI_RAY=1 (.ray)

.ray/ready: .venv/ready
	@rm -rf .ray
	@$(BIN)/python -m pip install -q --no-deps --target .ray $$(grep -E '^(ray|msgpack)==' constraints.txt)
	@touch $@

sweep: setup      ## run a study: SWEEP=miniature, ARGS='key=value ...'; resumes what was interrupted
	@$(BIN)/limo-ablate sweep $(SWEEP) $(ARGS)

report: setup     ## draw a study's report again
	@$(BIN)/limo-ablate report $(SWEEP) $(ARGS)

status: setup     ## what is done, running and waiting
	@$(BIN)/limo-ablate status $(SWEEP)

test: setup       ## all tests; ARGS='tests/verify -k units' some of them
	@$(BIN)/python -m pytest $(ARGS)

quick: setup      ## the fast tests: no training, no processes
	@$(BIN)/python -m pytest -m 'not slow' $(ARGS)

coverage: setup   ## all tests, and which lines of the package none of them runs
	@$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(ARGS)

docs: setup       ## build the documentation's site: docs/_build/index.html; warnings are errors
	@$(BIN)/python -m sphinx -b html -q -W --keep-going docs docs/_build && echo "docs: docs/_build/index.html"

lint: setup       ## ruff, and that imports run one way
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo

types: setup      ## mypy, strict
	@$(BIN)/mypy

audit:            ## known vulnerabilities of the pinned packages; asks PyPI's list of advisories
	@test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/python -m pip install -q pip-audit; }
	@.audit/bin/pip-audit --disable-pip --no-deps --progress-spinner off -r constraints.txt $(ARGS)

clean:            ## delete what sweeps made (outputs/), keep the environment
	rm -rf outputs
