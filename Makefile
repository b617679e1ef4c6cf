# make demo    JupyterLab with the quickstart notebook
# make test    everything: Python, TypeScript, real kernels, real browsers; ends with what was skipped
# make check   the quick part: lint, types, floors, unit tests
#
# Each target installs what it needs, into .venv and js/node_modules.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
STATIC := src/gpuview/static/widget.js
SLOW := browser or command or cuda or hosts or hub or kernel or network or ray or triton or wheel
# More than there are cores: most tests wait for other processes, and some for a timer. On two cores,
# two workers kept them 43 % busy in the unit tests, and less than that in the longest slow modules.
UNIT_WORKERS ?= 4
WORKERS ?= 3
# All tests in these folders are slow, and importing them costs each worker seconds.
SLOW_FOLDERS := tests/browser tests/hosts tests/kernel tests/network
PYTEST := $(BIN)/python -m pytest --numprocesses
# What has to be in .venv before anything runs there.
PACKAGES := .venv/dev.stamp
SKIPPED := artifacts/skipped.txt
# The tests start hundreds of kernels and media processes: none of them is to compile what it imports.
unexport PYTHONDONTWRITEBYTECODE
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

.PHONY: demo test check build lint unit vitest wheel networks-table bench-notebook bench-frames bench-link bench-sender bench-quality bench-scale clean

demo: .venv/demo.stamp $(STATIC)
	$(BIN)/jupyter lab --no-browser $(AS_ROOT) --ServerApp.root_dir=notebooks \
	  --LabApp.default_url=/lab/tree/quickstart.ipynb --LanguageServerManager.autodetect=False

# What the slow tests need is fetched while the quick part runs, except what goes into .venv itself.
test: forget-skipped
	@$(MAKE) --no-print-directory --jobs=4 PACKAGES=.venv/cluster.stamp \
	  lint vitest unit needs-of-slow-tests
	$(PYTEST) $(WORKERS) --dist loadscope --no-loadscope-reorder -m "$(SLOW)"
	@echo "skipped:"; cat $(SKIPPED) 2>/dev/null || echo "nothing"

# Side by side: the type checker and most tests leave a core idle.
check:
	@$(MAKE) --no-print-directory --jobs=3 lint vitest unit

build: $(STATIC)

lint: $(PACKAGES) js/node_modules/.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_messages.py --check
	$(BIN)/python scripts/generate_private_ranges.py --check
	npm --prefix js run --silent check

vitest: js/node_modules/.stamp
	npm --prefix js run --silent test

unit: $(PACKAGES) $(STATIC)
	$(PYTEST) $(UNIT_WORKERS) --dist worksteal -m "not ($(SLOW))" $(addprefix --ignore=,$(SLOW_FOLDERS))

networks-table: .venv/dev.stamp $(STATIC) browser laboratory
	GPUVIEW_WRITE_DOCS=1 GPUVIEW_REQUIRE_NETWORK=1 $(BIN)/python -m pytest tests/network/test_matrix.py

bench-notebook: .venv/dev.stamp $(STATIC) browser
	$(BIN)/python -m benchmarks.notebook

bench-frames: .venv/dev.stamp $(STATIC)
	$(BIN)/python -m benchmarks.frames

bench-sender: .venv/dev.stamp $(STATIC)
	$(BIN)/python -m benchmarks.sender

# After the laboratory, which has coturn.
bench-scale: .venv/dev.stamp $(STATIC) laboratory
	$(BIN)/python -m benchmarks.scale

bench-quality: .venv/dev.stamp $(STATIC)
	$(BIN)/python -m benchmarks.quality

bench-link: .venv/dev.stamp $(STATIC) browser laboratory
	$(BIN)/python -m benchmarks.link

wheel: $(STATIC) .venv/dev.stamp
	$(BIN)/python -m build --wheel --outdir dist
	$(BIN)/python -m build --wheel --outdir dist packages/gpuview-server

clean:
	rm -rf .venv .venv-hosts .ipykernels js/node_modules .hub src/gpuview/static dist artifacts

# --- what they need -----------------------------------------------------------------------------

.PHONY: browser forget-skipped hosts hub ipykernels laboratory needs-of-slow-tests vulkan
needs-of-slow-tests: browser hosts hub ipykernels laboratory vulkan

forget-skipped:
	@rm -f $(SKIPPED)

browser:
	@scripts/need_chromium.sh

# After the browser, as only one apt-get can run.
laboratory: | browser
	@scripts/need_network_lab.sh

vulkan: | laboratory
	@scripts/need_vulkan.sh

hosts: .venv-hosts/.stamp

ipykernels: .ipykernels/.stamp

hub: .venv/hub.stamp
	@scripts/need_hub.sh

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gpuview needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "no venv module: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP) --editable . --group demo
	@touch $@

.venv/dev.stamp: .venv/demo.stamp
	$(PIP) --group dev
	@touch $@

.venv/hub.stamp: .venv/dev.stamp
	$(PIP) --group hub
	@touch $@

# Ray has no wheels for every Python. After the hub's, as only one pip can run.
.venv/cluster.stamp: .venv/hub.stamp
	$(PIP) --group cluster || echo "the tests with Ray are skipped"
	@touch $@

.venv-hosts/.stamp: .venv/demo.stamp scripts/make_hosts_env.sh
	@scripts/make_hosts_env.sh
	@touch $@

.ipykernels/.stamp: .venv/demo.stamp scripts/make_ipykernels.sh
	@scripts/make_ipykernels.sh
	@touch $@

js/node_modules/.stamp: js/package.json js/package-lock.json
	npm --prefix js ci --silent
	@touch $@

$(STATIC): js/node_modules/.stamp js/build.mjs $(wildcard js/src/* js/src/*/*)
	npm --prefix js run --silent build
	@touch $@
