# SPDX-License-Identifier: MIT
"""Without a GPU: OpenMM's own CUDA platform loads our library, and NVIDIA's compiler takes all our kernels.

The driver is a fake one (fake_cuda/): it keeps memory, checks every launch against the compiled kernel's parameters,
and runs nothing. What kernels compute is tested on OpenCL, from the same source, and by `make test-gpu`.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "cuda_env"
KERNELS = ROOT / "plugin" / "platforms" / "common" / "kernels"
PTX = b""".version 8.0
.visible .entry add(
    .param .u64 add_param_0,
    .param .u64 add_param_1,
    .param .f32 add_param_2
)
{
    ld.param.u64 \t%rd1, [add_param_0];
    ld.param.u64 \t%rd2, [add_param_1];
    ld.param.f32 \t%f1, [add_param_2];
    cvta.to.global.u64 \t%rd3, %rd1;
    st.global.f32 \t[%rd3], %f1;
}
.visible .entry most()
{
    .shared .align 16 .b8 all[49152];
}
.visible .entry more()
{
    .shared .align 16 .b8 first[49152];
    .shared .align 4 .b8 second[4];
}
"""


@pytest.fixture(scope="module")
def site() -> Path:
    """Folder of packages with OpenMM's CUDA platform."""
    build = subprocess.run(["bash", str(ROOT / "tests/gpu/build_cuda_env.sh")], capture_output=True, text=True,
                           env={**os.environ, "PYTHON": sys.executable})
    assert build.returncode == 0, f"tests/gpu/build_cuda_env.sh failed:\n{build.stderr}"
    return ENVIRONMENT / "site"


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Python with the fake driver, and a folder of its own for what OpenMM keeps of compiled kernels."""
    environment = {**os.environ, "PYTHONPATH": str(site), "TMPDIR": str(folder), "FAKE_CUDA_LOG": str(folder / "log"),
                   "LD_LIBRARY_PATH": f"{ENVIRONMENT / 'fake'}:{ENVIRONMENT / 'wheels/nvidia/cu13/lib'}"}
    environment.pop("OPENMM_PLUGIN_DIR", None)
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=300)


PROGRAM = str(Path(__file__).with_name("cuda_program.py"))


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_all_kernels_compile_and_are_launched_with_what_they_declare(site, tmp_path, precision):
    result = run(site, tmp_path, PROGRAM, precision)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    for case, calls in found["forces"].items():
        assert "computeNonbonded" in calls["energy and forces"], case
        ordinary = {*calls["energy and forces"], *calls["dynamics"]}
        for call in ("coefficient derivatives", "Hessian-vector product", "virial"):
            assert set(calls[call]) - ordinary, f"{case}: {call} launched no kernel of ours: {calls[call]}"
    assert set(found["sweeps"]) == {"all at once", "non-periodic", "LangevinMiddle", "Nose-Hoover"}
    every = {kernel for calls in found["forces"].values() for kernels in calls.values() for kernel in kernels}
    every |= {kernel for kernels in found["sweeps"].values() for kernel in kernels}
    texts = [path.read_text(encoding="utf-8") for path in KERNELS.glob("*.cc")]
    ours = {name for text in texts for name in re.findall(r"^KERNEL void (\w+)\(", text, re.MULTILINE)}
    assert len(ours) > 3 and ours - every == set()


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_the_host_waits_as_often_for_long_windows_as_for_short_ones(site, tmp_path, precision):
    result = run(site, tmp_path, str(Path(__file__).with_name("cuda_sweep_program.py")), precision)
    assert result.returncode == 0, result.stdout + result.stderr
    for case, calls in json.loads(result.stdout.splitlines()[-1]).items():
        for n in (4, 12):
            forwards, backwards = calls[f"run {n}"], calls[f"reverse {n}"]
            assert forwards["read"] == 2, case  # positions and velocities of the window
            assert backwards["read"] == 4, case  # cotangents of x, v, coefficients and parameters
            assert calls[f"reverse {n} of the host"]["read"] == 4, case
            # OpenMM itself waits for the size of its neighbour list, once for each evaluation of forces
            assert forwards["waited"] == forwards["computeNonbonded"] == n, case
            assert backwards.get("waited", 0) == backwards.get("computeNonbonded", 0), case
            assert backwards["addPairProducts"] == n, case
        if "open" not in case:  # pairs alone: two launches a step, and OpenMM has no part in them
            assert backwards["beginStep"] == 13 and "waited" not in backwards, case


LOAD = """
import ctypes, os, sys
import openmm
folder = os.path.join(os.path.dirname(openmm.__file__), "..", "OpenMM.libs", "lib", "plugins")
for name in ("libOpenMMCUDA.so", "libOpenMMGradCUDA.so"):
    ctypes.CDLL(os.path.join(folder, name), mode=os.RTLD_NOW)
print(openmm.Platform.getPluginLoadFailures(), openmm.Platform.getPlatformByName("CUDA").getName())
"""


def test_the_library_finds_every_symbol_in_openmms_own(site, tmp_path):
    result = run(site, tmp_path, "-c", LOAD)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["()", "CUDA"]


def test_the_stand_in_is_not_installed(site):
    plugins = sorted(path.name for path in (site / "OpenMM.libs/lib/plugins").glob("*CUDA*"))
    assert "libOpenMMCUDA.so" in plugins and "libOpenMMGradCUDA.so" in plugins
    assert (site / "OpenMM.libs/lib/plugins/libOpenMMCUDA.so").stat().st_size > 1_000_000
    assert not list((site / "OpenMM.libs/lib").glob("*StandIn*")) + list((site / "OpenMM.libs").rglob("stand_in"))


def test_a_broken_kernel_is_a_failure(site, tmp_path):
    """The name of a type in the kernels' text is misspelt in a copy of the library."""
    copy = tmp_path / "site"
    shutil.copytree(site / "OpenMM.libs", copy / "OpenMM.libs", ignore=shutil.ignore_patterns("include"))
    (copy / "openmm").symlink_to(site / "openmm")
    library = copy / "OpenMM.libs/lib/plugins/libOpenMMGradCUDA.so"
    text = library.read_bytes()
    assert b"KERNEL void " in text, "the kernels' text was not found in the library"
    library.write_bytes(text.replace(b"KERNEL void ", b"KERNEL viod "))
    result = run(copy, tmp_path, PROGRAM, "single")
    assert result.returncode != 0
    assert "OpenMMException: Error compiling program" in result.stderr and "viod" in result.stderr


class TestDriver:
    """The fake driver sees what a real one would not survive."""

    @pytest.fixture
    def driver(self, site):
        return ctypes.CDLL(str(ENVIRONMENT / "fake/libcuda.so.1"))

    @pytest.fixture
    def kernel(self, driver):
        module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
        assert driver.cuModuleLoadDataEx(ctypes.byref(module), PTX, 0, None, None) == 0
        assert driver.cuModuleGetFunction(ctypes.byref(kernel), module, b"subtract") == 500
        assert driver.cuModuleGetFunction(ctypes.byref(kernel), module, b"add") == 0
        return kernel

    @staticmethod
    def launch(driver, kernel, address: int, blocks: int = 1, threads: int = 64) -> int:
        values = (ctypes.c_uint64(address), ctypes.c_uint64(7), ctypes.c_float(1.0))
        arguments = (ctypes.c_void_p * 3)(*(ctypes.addressof(value) for value in values))
        return driver.cuLaunchKernel(kernel, blocks, 1, 1, threads, 1, 1, 0, None, arguments, None)

    def test_an_address_outside_of_device_memory(self, driver, kernel):
        address = ctypes.c_uint64()
        assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(400)) == 0
        assert self.launch(driver, kernel, address.value) == 0
        assert self.launch(driver, kernel, address.value + 399) == 0
        assert self.launch(driver, kernel, address.value + 400) == 1
        assert self.launch(driver, kernel, 0) == 1
        assert driver.cuMemFree_v2(address) == 0
        assert self.launch(driver, kernel, address.value) == 1
        assert driver.cuMemFree_v2(address) == 1

    def test_a_launch_of_no_threads_or_too_many(self, driver, kernel):
        address = ctypes.c_uint64()
        assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(4)) == 0
        assert self.launch(driver, kernel, address.value, blocks=0) == 1
        assert self.launch(driver, kernel, address.value, threads=1025) == 1
        assert self.launch(driver, kernel, address.value, threads=1024) == 0

    def test_more_shared_memory_than_there_is(self, driver):
        module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
        assert driver.cuModuleLoadDataEx(ctypes.byref(module), PTX, 0, None, None) == 0
        for name, result in ((b"most", 0), (b"more", 1)):
            assert driver.cuModuleGetFunction(ctypes.byref(kernel), module, name) == 0
            assert driver.cuLaunchKernel(kernel, 1, 1, 1, 64, 1, 1, 0, None, None, None) == result

    def test_copies_that_end_outside(self, driver):
        address, there = ctypes.c_uint64(), ctypes.create_string_buffer(16)
        assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(12)) == 0
        for size, result in ((12, 0), (13, 1)):
            assert driver.cuMemcpyHtoD_v2(address, there, ctypes.c_size_t(size)) == result
            assert driver.cuMemcpyDtoH_v2(there, address, ctypes.c_size_t(size)) == result

    def test_an_unknown_module(self, driver, tmp_path):
        module = ctypes.c_void_p()
        assert driver.cuModuleLoad(ctypes.byref(module), str(tmp_path / "none").encode()) == 301
