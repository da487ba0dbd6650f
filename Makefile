# SPDX-License-Identifier: MIT
# make demo   the main job, with a picture at the end        make test      everything that must hold
# make bench  speed, as JSON                                 make validate  the longer science
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
OUT ?= out
RUN = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MPLBACKEND=Agg $(VENV)/bin/python
SOURCES = $(shell find plugin python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

.PHONY: setup demo test test-python test-cpp test-torchforce validate bench lint clean

setup: $(VENV)/.installed

$(VENV)/.requirements: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check "$(TORCH)"
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check "scikit-build-core>=0.10" "swig>=4.4,<5" "cmake>=3.20" ninja \
	    $$($(VENV)/bin/python tests/requirements.py test)
	touch $@

$(VENV)/.installed: $(VENV)/.requirements $(SOURCES)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

demo: setup
	$(RUN) examples/01_lennard_jones.py --frames 800 --target-frames 1500 --out $(OUT)/demo

test: test-cpp test-python test-torchforce

test-cpp: setup
	$(VENV)/bin/cmake -S . -B build/ctest -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(VENV)/bin/python -DBUILD_TESTING=ON > build/ctest.log \
	    || (cat build/ctest.log; false)
	$(VENV)/bin/cmake --build build/ctest
	$(VENV)/bin/ctest --test-dir build/ctest --output-on-failure

test-python: setup
	REQUIRE_PLATFORMS=Reference,CPU REQUIRE_BACKENDS=native,table,pythonforce $(RUN) -m pytest tests \
	    --ignore=tests/validation --ignore=tests/torchforce -q

test-torchforce: setup
	bash tests/torchforce/build_env.sh
	REQUIRE_BACKENDS=torchforce OMP_NUM_THREADS=1 .venv-torchforce/bin/python -m pytest tests/torchforce tests/contract/test_backends.py -q

validate: setup
	$(RUN) -m pytest tests/validation -q -s

bench: setup
	$(RUN) benchmarks/force.py --json $(OUT)/force.json
	$(RUN) benchmarks/fit.py --json $(OUT)/fit.json
	$(RUN) benchmarks/methods.py --json $(OUT)/methods.json
	$(RUN) benchmarks/backends.py --json $(OUT)/backends.json
	$(RUN) benchmarks/gradient.py --n 1000 4000 --json $(OUT)/gradient.json --plot $(OUT)/gradient.png

lint: setup
	$(VENV)/bin/ruff check python tests examples benchmarks

clean:
	rm -rf build $(VENV) .venv-torchforce $(OUT)
