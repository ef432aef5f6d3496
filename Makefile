# Everything that is done with a checkout. `make` alone prints the table.
#
# Debian packages and Python packages are installed when a target first needs them; stamps in the virtual
# environments remember it, so that the second time costs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BENCH_VENV ?= .venv-bench
LOCK_VENV ?= .venv-lock
PYTHON := $(VENV)/bin/python
ARGS ?=
# Most tests wait for a kernel rather than compute: more processes than cores.
WORKERS ?= 4

RUN_LOCKS := requirements/build.txt requirements/run.txt
DEV_LOCKS := $(RUN_LOCKS) requirements/dev.txt

##@ Use
.PHONY: help
help: ## Print this table
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: packages $(VENV)/run.stamp ## Build the lab, break it, find the fault, take it down (root)
	@exec .ci/with-lab $(VENV)/bin/skoopctl demo $(ARGS)

.PHONY: venv
venv: $(VENV)/dev.stamp ## Make .venv with everything that development needs

.PHONY: wheel
wheel: $(VENV)/dev.stamp ## Build dist/: the wheel and the source archive
	@.ci/build-dist $(PYTHON) dist

##@ Check
.PHONY: test
test: test-packages $(VENV)/dev.stamp $(BENCH_VENV)/bench.stamp ## Run the tests, on a real kernel with real SSH servers (root)
	@exec .ci/with-lab $(PYTHON) -m pytest -m "not vm" -n $(WORKERS) --no-loadscope-reorder $(ARGS)

.PHONY: test-vm
test-vm: vm-packages $(VENV)/dev.stamp ## Run the tests that boot a Debian guest, with every module (root, QEMU)
	@$(PYTHON) -m pytest tests/vm $(ARGS)

.PHONY: test-all
test-all: test-packages vm-packages $(VENV)/dev.stamp $(BENCH_VENV)/bench.stamp ## Run both at once, the guest beside the rest (root, QEMU)
	@exec .ci/with-lab $(PYTHON) -m pytest -n $(WORKERS) --no-loadscope-reorder $(ARGS)

.PHONY: test-unit
test-unit: $(VENV)/dev.stamp ## Run the tests that need neither root nor a lab
	@$(PYTHON) -m pytest tests/unit $(ARGS)

.PHONY: lint
lint: $(VENV)/dev.stamp ## Check style, format, types and the one-way imports
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

.PHONY: check-wheel
check-wheel: wheel ## Install the wheel elsewhere and run what it brings
	@.ci/check-wheel $(PYTHON) dist

.PHONY: bench
bench: packages $(VENV)/dev.stamp $(BENCH_VENV)/bench.stamp ## Measure against Ansible on the same lab (root)
	@exec .ci/with-lab $(PYTHON) -m tests.bench $(ARGS)

N ?= 10000
SEED ?= 1
.PHONY: fuzz
fuzz: test-packages $(VENV)/dev.stamp ## Compare the model with this kernel: N=10000 flows, SEED=1, ARGS=--help (root)
	@$(PYTHON) -m tests.kernel --cases $(N) --seed $(SEED) $(ARGS)

SECONDS_OF_SOAK = $(if $(filter command line,$(origin SECONDS)),$(SECONDS),120)
.PHONY: soak
soak: test-packages $(VENV)/dev.stamp ## Kill gateway, push and node programs at random: SECONDS=120, SEED=1 (root)
	@exec .ci/with-lab $(PYTHON) -m tests.soak --seconds $(SECONDS_OF_SOAK) --seed $(SEED) $(ARGS)

##@ Keep up
.PHONY: docs
docs: $(VENV)/dev.stamp ## Write docs/findings.md, plans.md, doctor.md, metrics.md, push.md, ebpf.md, dashboards, rules
	@$(PYTHON) -m docs.findings
	@$(PYTHON) -m docs.plans
	@$(PYTHON) -m docs.doctor
	@$(PYTHON) -m docs.metrics
	@$(PYTHON) -m docs.push
	@$(PYTHON) -m docs.dashboards
	@$(PYTHON) -m docs.ebpf

.PHONY: bpf
bpf: $(VENV)/dev.stamp ## Build bpf/built/ from the eBPF sources, for every architecture (clang 14, libbpf-dev)
	@$(PYTHON) bpf/build.py $(ARGS)

.PHONY: record
record: packages $(VENV)/dev.stamp ## Record the demo's evidence anew, for --recorded (root); then: make readme pictures
	@.ci/with-lab $(VENV)/bin/skoopctl demo --keep-evidence skoopctl/recorded
	@chmod 0644 skoopctl/recorded/*.skoop

.PHONY: record-vm
record-vm: vm-packages $(VENV)/dev.stamp ## Play the guest's scenarios anew and keep what happened (ARGS=names)
	@$(PYTHON) -m tests.vm.record $(ARGS)

.PHONY: readme
readme: $(VENV)/dev.stamp ## Put the recorded demo's output, picture and report, and the last fuzz figures, into README.md
	@$(PYTHON) docs/readme.py
	@$(PYTHON) -m docs.report_page
	@$(PYTHON) docs/fuzz.py

.PHONY: screenshots
screenshots: test-packages $(VENV)/dev.stamp ## Take docs/pictures/page.png and page-zh.png of the recorded demo's page anew (chromium)
	@$(PYTHON) docs/screenshots.py

.PHONY: pictures
pictures: $(VENV)/dev.stamp ## Draw the golden pictures of tests/fixtures/pictures anew; look at what has changed
	@$(PYTHON) -m tests.unit.report.pictures

.PHONY: lock
lock: $(LOCK_VENV)/lock.stamp ## Write requirements/ from pyproject.toml (ARGS=--upgrade: the newest of all)
	@.ci/lock $(LOCK_VENV)/bin/uv $(ARGS)

.PHONY: clean
clean: ## Delete what was built here; the lab is not touched
	@rm -rf $(VENV) $(BENCH_VENV) $(LOCK_VENV) dist build out .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the targets above stand on.

.PHONY: packages test-packages vm-packages
packages:
	@.ci/packages

test-packages:
	@.ci/packages --tests

# Without them the tests are skipped, and say so.
vm-packages:
	@.ci/packages --vm || true

$(VENV)/run.stamp: $(RUN_LOCKS) pyproject.toml .ci/venv
	@.ci/venv $(VENV) --project $(RUN_LOCKS)
	@touch $@

$(VENV)/dev.stamp: $(DEV_LOCKS) pyproject.toml .ci/venv
	@.ci/venv $(VENV) --project $(DEV_LOCKS)
	@touch $@ $(VENV)/run.stamp

$(BENCH_VENV)/bench.stamp: requirements/bench.txt .ci/venv
	@.ci/venv $(BENCH_VENV) requirements/bench.txt
	@touch $@

$(LOCK_VENV)/lock.stamp: requirements/lock.txt .ci/venv
	@.ci/venv $(LOCK_VENV) requirements/lock.txt
	@touch $@
