# SPDX-License-Identifier: MIT
"""Without the libraries of a graphics processor everything else works, and who asks for one is told what to install."""

import os
import subprocess
import sys

import openmm
import pytest

import openmmgrad as og
from openmmgrad.contexts import find_platform

SCRIPT = """
import numpy as np
import openmm
import openmmgrad as og
from openmmgrad.contexts import find_platform

names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
force = og.LearnablePairForce(1, 0.9, 8)
force.setCoefficients(0, 0, np.r_[np.linspace(3.0, 1.0, 5), 0, 0, 0])
force.addParticles(np.zeros(4, dtype=int))
system = openmm.System()
for _ in range(4):
    system.addParticle(1.0)
system.addForce(force)
context = openmm.Context(system, openmm.VerletIntegrator(0.001))
context.setPositions(np.eye(4, 3) * 0.5)
assert context.getState(energy=True).getPotentialEnergy()._value > 0
print(",".join(names), context.getPlatform().getName())
for name in ("OpenCL", "CUDA"):
    try:
        find_platform(name, "Ensemble")
    except ValueError as error:
        print(error)
"""


def test_a_machine_without_opencl_and_cuda(tmp_path):
    for library in ("libOpenCL.so.1", "libcuda.so.1"):
        (tmp_path / library).write_bytes(b"")  # found before any other, and refused by the loader
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "OPENMM_CPU_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    found, opencl, cuda = run.stdout.splitlines()
    assert found == "Reference,CPU CPU"
    assert opencl.startswith("Ensemble: platform 'OpenCL' is not available; found Reference, CPU. OpenMM did not load "
                             "it: libOpenMMOpenCL.so: ")
    assert "libOpenCL.so.1" in opencl and "apt install pocl-opencl-icd" in opencl
    assert cuda.startswith("Ensemble: platform 'CUDA' is not available; found Reference, CPU. OpenMM did not load it: ")
    assert 'pip install "openmm[cuda13]"' in cuda


def failures(monkeypatch, *texts: str):
    monkeypatch.setattr(openmm.Platform, "getPluginLoadFailures", staticmethod(lambda: texts))


@pytest.mark.parametrize(("texts", "said"), [
    ((), "libOpenMMHIP is not in its directory of plugins"),
    (("Error loading library /a/libOpenMMGradHIP.so: libOpenMMHIP.so: cannot open",),
     "did not load it: libOpenMMGradHIP.so: libOpenMMHIP.so: cannot open. "),
    (("Error loading library /a/libOpenMMGradHIP.so: x", "Error loading library /a/libOpenMMHIP.so: libcuda.so.1: y",
      "Error loading library /a/libOpenMMDrudeHIP.so: z"), "did not load it: libOpenMMHIP.so: libcuda.so.1: y. "),
])  # fmt: skip
def test_the_reason_is_that_of_the_platform_itself(monkeypatch, texts, said):
    # a name that no machine here has loaded
    monkeypatch.setitem(sys.modules["openmmgrad.contexts"]._DRIVER, "HIP", "a driver")
    failures(monkeypatch, *texts)
    with pytest.raises(ValueError, match="or install a driver") as raised:
        find_platform("HIP", "propagate")
    assert said in str(raised.value)


def test_who_names_a_platform_learns_why_it_is_not_there():
    system, _, positions = og.bead_fluid(8, 8.0, 39.948)
    model = og.Model(system)  # without mdtraj, which a GPU machine may lack
    for call in (lambda: og.Ensemble(model, positions, 100.0, platform="HIP"),
                 lambda: og.propagate(model, timestep=0.001, n_steps=1, initial=(positions, 0 * positions),
                                      platform="HIP")):  # fmt: skip
        with pytest.raises(ValueError, match="platform 'HIP' is not available; found Reference, CPU"):
            call()
