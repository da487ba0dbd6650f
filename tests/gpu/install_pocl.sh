#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Make sure that OpenMM finds an OpenCL device: where there is none, install PoCL (OpenCL on the processor) from Debian or Ubuntu.
# PYTHON: an interpreter that has openmm. Removes nothing.
set -euo pipefail
python=${PYTHON:-.venv/bin/python}

has_device() {
    "$python" - > /dev/null 2>&1 << 'END'
import openmm
system = openmm.System()
system.addParticle(1.0)
openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("OpenCL"))
END
}

fail() {
    echo "install_pocl.sh: the OpenCL tests need an OpenCL device that OpenMM can use; $1" >&2
    echo "On Debian or Ubuntu: apt-get install pocl-opencl-icd ocl-icd-libopencl1 (as root), then run make again." >&2
    echo "Elsewhere install your device's OpenCL driver; clinfo and python -m openmm.testInstallation show what is there." >&2
    exit 1
}

if has_device; then exit 0; fi
if ! command -v apt-get > /dev/null; then fail "found none, and no apt-get to install PoCL with."; fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2> /dev/null; then fail "found none, and installing PoCL needs root, or sudo without a password."; fi
    as_root=sudo
fi
echo "install_pocl.sh: no OpenCL device, installing PoCL with apt-get"
get() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get "$@" > /dev/null; }
install() { get install -qq -y --no-install-recommends pocl-opencl-icd ocl-icd-libopencl1; }
install 2> /dev/null || { get update -qq && install; } || fail "found none, and apt-get could not install PoCL."
has_device || fail "PoCL is installed, and OpenMM still finds none."
