# SPDX-License-Identifier: MIT
# make demo   the main job, with a picture at the end        make test      everything that must hold
# make bench  speed, as JSON                                 make validate  the longer science
# make test-gpu, make bench-gpu   on a machine with an NVIDIA GPU; GPU=OpenCL for another device: tests/gpu/README.md
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
OUT ?= out
WORKERS ?= 2
GPU ?= CUDA
# A folder of wheels: then test-gpu and bench-gpu use PYTHON with these, and reach for no registry.
WHEELS ?= $(wildcard .whl)
# More options of benchmarks/gpu.py, such as --sizes 1000,4000
BENCH_GPU ?=
RUN = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MPLBACKEND=Agg $(VENV)/bin/python
SOURCES = $(shell find plugin python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

.PHONY: setup demo test test-python test-cpp test-torchforce test-gpu bench-gpu gpu pocl validate bench lint clean

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

# OpenCL on the processor, where there is no other device
pocl: setup
	PYTHON=$(VENV)/bin/python bash tests/gpu/install_pocl.sh

test-cpp: pocl
	$(VENV)/bin/cmake -S . -B build/ctest -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(VENV)/bin/python -DBUILD_TESTING=ON > build/ctest.log \
	    || (cat build/ctest.log; false)
	$(VENV)/bin/cmake --build build/ctest
	$(VENV)/bin/ctest --test-dir build/ctest --output-on-failure --parallel $(WORKERS)

test-python: pocl
	PYTHON=$(VENV)/bin/python bash tests/gpu/build_cuda_env.sh
	REQUIRE_PLATFORMS=Reference,CPU,OpenCL REQUIRE_BACKENDS=native,table,pythonforce $(RUN) -m pytest tests \
	    --ignore=tests/validation --ignore=tests/torchforce -q -n $(WORKERS) --dist worksteal

test-torchforce: setup
	bash tests/torchforce/build_env.sh
	REQUIRE_BACKENDS=torchforce OMP_NUM_THREADS=1 .venv-torchforce/bin/python -m pytest tests/torchforce tests/contract/test_backends.py -q

validate: setup
	$(RUN) -m pytest tests/validation -q -s

bench: setup
	$(RUN) benchmarks/force.py --json $(OUT)/force.json --plot $(OUT)/force.png
	$(RUN) benchmarks/force_bounds.py --json $(OUT)/force_bounds.json
	$(RUN) benchmarks/fit.py --json $(OUT)/fit.json
	$(RUN) benchmarks/methods.py --json $(OUT)/methods.json
	$(RUN) benchmarks/backends.py --json $(OUT)/backends.json
	$(RUN) benchmarks/gradient.py --n 1000 4000 --json $(OUT)/gradient.json --plot $(OUT)/gradient.png
	$(RUN) benchmarks/rdf.py --json $(OUT)/rdf.json --plot $(OUT)/rdf.png
	$(RUN) benchmarks/resolution.py --json $(OUT)/resolution.json --plot $(OUT)/resolution.png

ifeq ($(WHEELS),)
gpu: setup
	$(if $(filter CUDA,$(GPU)),$(VENV)/bin/python -m pip install -q --disable-pip-version-check "openmm[cuda13]")
GPU_PYTHON = $(VENV)/bin/python
WITH_GPU = env OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MPLBACKEND=Agg PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
else
gpu:
	PYTHON=$(PYTHON) bash tests/gpu/offline_site.sh $(WHEELS) build/gpu_site
GPU_PYTHON = $(PYTHON)
WITH_GPU = bash tests/gpu/with_site.sh build/gpu_site $(PYTHON)
endif
WITH_GPU += REQUIRE_PLATFORMS=$(GPU) OPENMMGRAD_TEST_PLATFORM=$(GPU)

test-gpu: gpu
	$(WITH_GPU) $(GPU_PYTHON) -m pytest tests/gpu $$(grep -rlE 'OPENMMGRAD_TEST_PLATFORM|from devices import' tests --include='test_*.py') \
	    --ignore=tests/gpu/test_cuda_compiles.py -q
	$(WITH_GPU) cmake -S . -B build/gpu_ctest -G Ninja -DPython_EXECUTABLE="$$(command -v $(GPU_PYTHON))" -DOPENMMGRAD_TEST_CUDA=$(if $(filter CUDA,$(GPU)),ON,OFF) \
	    -DBUILD_TESTING=ON
	$(WITH_GPU) cmake --build build/gpu_ctest
	$(WITH_GPU) ctest --test-dir build/gpu_ctest --output-on-failure --no-tests=error --tests-regex Test$(GPU)

bench-gpu: gpu
	$(WITH_GPU) $(GPU_PYTHON) benchmarks/gpu.py --platform $(GPU) --json $(OUT)/gpu.json --plot $(OUT)/gpu.png $(BENCH_GPU)

lint: setup
	$(VENV)/bin/ruff check python tests examples benchmarks

clean:
	rm -rf build $(VENV) .venv-torchforce $(OUT)
