# The two commands: `make demo` and `make test`. Each sets up what it needs; `make help` lists the rest.

BIN := .venv/bin
# One more than processors: tests wait for emulators, serial lines and time-outs, too.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))
PYTEST_FLAGS ?=
BOARD ?= mps2-an386
C_FILES = find exporter firmware_templates tests examples -name '*.[ch]' -not -path '*/golden/*' -not -path '*/node_modules/*'
DIGITS := examples/digits

.PHONY: help setup demo test test-long test-torch lint format bench docs constraints clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## everything that is missing: Debian packages, .venv with the Python packages
	@.ci/setup

demo: setup  ## a trained Keras model to bit-exact inference on an emulated board (BOARD=mps2-an386)
	@mkdir -p build
	$(BIN)/nanoexport deploy $(DIGITS)/digits.keras --data $(DIGITS)/calibration.npz \
	    --test $(DIGITS)/test.npz --board $(BOARD) -o build/digits.tflite

test: lint  ## lint, then all tests (PYTEST_FLAGS=... JOBS=N)
	$(BIN)/pytest -n $(JOBS) --dist worksteal --nano-board $(BOARD) $(PYTEST_FLAGS)

test-long: setup  ## what the sweeps of `make test` leave out: more shapes, seeds and builds
	$(BIN)/pytest -n $(JOBS) --nano-board $(BOARD) -m long $(PYTEST_FLAGS)

test-torch: setup  ## the tests that need PyTorch, in the environment of NANOEXPORT_TORCH_PYTHON
	@test -x "$(NANOEXPORT_TORCH_PYTHON)" || { echo "name a Python with torch in NANOEXPORT_TORCH_PYTHON: docs/sources.md"; exit 3; }
	$(BIN)/pytest -n $(JOBS) --torch -m torch $(PYTEST_FLAGS)

lint: setup  ## formats, ruff, mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(C_FILES) | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/mypy

format: setup  ## bring Python and C into the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(C_FILES) | xargs $(BIN)/clang-format -i

bench: setup  ## instructions, cycles, arena and flash of ../shared/models beside TensorFlow Lite Micro's
	$(BIN)/python -m tests.benchmarks.table
	$(BIN)/python -m tests.benchmarks.layers
	$(BIN)/python -m tests.benchmarks.verify_time

docs: setup  ## write the generated documents anew
	$(BIN)/python -m exporter.ops.table docs/operators.md
	$(BIN)/python -m exporter.board.table README.md

constraints: setup  ## the newest versions of all Python packages into .ci/constraints.txt
	.ci/lock

clean:  ## remove .venv and what the tools left; Debian packages stay
	rm -rf .venv exporter/flash/rp2040js_bridge/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
