#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Make build/cuda_env for tests/gpu/test_cuda_compiles.py: site/ is what `pip install "openmm[cuda13]"` would leave beside our
# plugin, with the CUDA platform and NVRTC real (61 MB of wheels) and, in fake/, a CUDA driver without a device.
# The environment in use is copied from, never changed. PYTHON: its interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
env=${CUDA_ENV:-build/cuda_env}
version=$("$python" -c 'import importlib.metadata as m; print(m.version("openmm"))')
libraries=$("$python" -c 'import importlib.metadata as m; print(m.distribution("openmm").locate_file(""))')

wanted="openmm-cuda-13==$version nvidia-cuda-nvrtc>=13,<14"
if [ "$(cat "$env/wheels/wanted" 2> /dev/null)" != "$wanted" ]; then
    rm -rf "$env/wheels"
    mkdir -p "$env"
    "$python" -m pip install -q --disable-pip-version-check --no-deps --no-compile --target "$env/wheels" $wanted
    echo "$wanted" > "$env/wheels/wanted"
fi

rm -rf "$env/site" "$env/fake"
mkdir -p "$env/site" "$env/fake"
cp -r "$libraries/openmm" "$libraries/OpenMM.libs" "$env/site"
cp "$env"/wheels/OpenMM.libs/lib/plugins/*.so "$env/site/OpenMM.libs/lib/plugins"
ln -s ../wheels/nvidia "$env/site/nvidia"

flags="-std=c11 -O1 -Wall -Wextra -Werror -fPIC -shared"
${CC:-cc} $flags -pthread -Wl,-soname,libcuda.so.1 -o "$env/fake/libcuda.so.1" tests/gpu/fake_cuda/{driver,memory,kernels}.c
echo 'libcufft.so.12 { global: cufft*; local: *; };' > "$env/fake/cufft.map"
${CC:-cc} $flags -Wl,-soname,libcufft.so.12 -Wl,--version-script="$env/fake/cufft.map" -o "$env/fake/libcufft.so.12" \
    tests/gpu/fake_cuda/cufft.c
