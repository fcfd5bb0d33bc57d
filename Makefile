# make demo, make test: from a fresh clone with CPython >= 3.10, a C compiler and make. Everything lands in .venv, build/ and out/.
#   make docs                      the documentation as a site, in out/docs
#   PYTHON=python3.12 make test    another interpreter (after make clean, if .venv was made with one already)
#   CC=clang make test             another compiler
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NATIVE := $(shell find fastcnn_c -name '*.[ch]' ! -name _native.c -o -name '*.inc' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi') setup.py
ASAN   := build/asan

.PHONY: demo test check docs asan asan-build asan-fuzz fuzz wheel bench picks clean

demo: $(VENV)/built
	$(BIN)/python -m bench.demo

test: $(VENV)/built
	$(BIN)/python -m tests.every_run

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# Kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer. Python itself leaks by design: leak detection stays off. onnx throws through
# libstdc++, which AddressSanitizer has to find when it starts. Arrays that are too large are a MemoryError there as well.
SANITIZED = LD_PRELOAD="$$($${CC:-cc} -print-file-name=libasan.so) $$($${CC:-cc} -print-file-name=libstdc++.so.6)" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 FUZZ_BUILD="$$PWD" $(CURDIR)/$(BIN)/python
asan: asan-build
	cd $(ASAN)/lib.* && $(SANITIZED) \
	    -m pytest -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) -p no:cacheprovider $(CURDIR)/tests/test_kernel_*.py

# Broken models in that build: CHECKED_MUTANTS=50000 make asan-fuzz
CHECKED_MUTANTS ?= 50000
asan-fuzz: asan-build
	cd $(ASAN)/lib.* && $(SANITIZED) $(CURDIR)/tests/fuzz/run.py $(CHECKED_MUTANTS)

asan-build: $(VENV)/dev
	FASTCNN_DEBUG=1 $(BIN)/python setup.py -q build --build-base $(ASAN)

# Random networks against onnxruntime in every variant of load() and at every instruction set, broken models in child processes, every attribute and element type:
#   NETWORKS="0 20000" MUTANTS=200000 make fuzz        some 30 networks and 100 mutants a second
NETWORKS ?= 0 20000
MUTANTS ?= 50000
fuzz: $(VENV)/built
	$(BIN)/python tests/test_differential.py $(NETWORKS)
	$(BIN)/python tests/fuzz/run.py $(MUTANTS)
	$(BIN)/python tests/fuzz/run.py $(MUTANTS) compiled
	$(BIN)/python tests/fuzz/sweep.py

# The site: a warning is an error. The commands of the tour run while it is built.
docs: $(VENV)/built
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs out/docs
	@echo "out/docs/index.html"

# Wheels for every CPython from 3.10 to 3.14 that there is, each installed and tried in a clean environment:  WHEELS=python3.12 make wheel
wheel:
	.ci/wheels $(WHEELS)

bench: $(VENV)/built
	$(BIN)/python -m bench.models

# The planner's picks beside every other way to compute the layers of thirteen networks: some minutes of a quiet machine.
picks: $(VENV)/built
	$(BIN)/python -m bench.layers.picks

clean:
	rm -rf $(VENV) build dist out docs/generated docs/benchmarks/notes fastcnn.egg-info fastcnn_c/_native.c fastcnn/_native.*.so
	find . -name __pycache__ -prune -exec rm -rf {} +

# Dependencies and a first build; done again when they change.
$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing fastcnn and what the demo and the tests need into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,test]'
	@touch $@

# Sources newer than the last build: compile what changed, in place.
$(VENV)/built: $(VENV)/installed $(NATIVE)
	@if [ -n "$$(find $(NATIVE) -newer $(VENV)/installed)" ]; then \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' 'cython>=3.0' && \
	    $(BIN)/python setup.py -q build_ext --inplace; \
	fi
	@touch $@

$(VENV)/dev: $(VENV)/built
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' 'cython>=3.0' ruff mypy
	@touch $@
