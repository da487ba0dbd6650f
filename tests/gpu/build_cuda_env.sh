#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Make build/cuda_env for tests/gpu/test_cuda_compiles.py: site/ is what `pip install "openmm[cuda13]"` would leave beside our
# plugin, with the CUDA platform and NVRTC real (61 MB of wheels) and, in fake/, a CUDA driver without a device.
# The environment in use is copied from, never changed. Built again when that, or the driver, changes. PYTHON: its interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
env=build/cuda_env
mkdir -p "$env"
exec 9> "$env/lock"
flock 9   # of two workers of pytest-xdist one builds
version=$("$python" -c 'import importlib.metadata as m; print(m.version("openmm"))')
libraries=$("$python" -c 'import importlib.metadata as m; print(m.distribution("openmm").locate_file(""))')

wanted="openmm-cuda-13==$version nvidia-cuda-nvrtc>=13,<14"
if [ "$(cat "$env/wheels/wanted" 2> /dev/null)" != "$wanted" ]; then
    rm -rf "$env/wheels"
    # shellcheck disable=SC2086  # two words
    "$python" -m pip install -q --disable-pip-version-check --no-deps --no-compile --target "$env/wheels" $wanted
    echo "$wanted" > "$env/wheels/wanted"
fi

state=$(cat "$env/wheels/wanted" tests/gpu/build_cuda_env.sh tests/gpu/fake_cuda/* "$libraries"/OpenMM.libs/lib/libOpenMM*.so \
    "$libraries"/OpenMM.libs/lib/plugins/libOpenMMGrad*.so | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$env/state" 2> /dev/null)" = "$state" ]; then exit 0; fi

rm -rf "$env/site" "$env/fake" "$env/state"
mkdir -p "$env/site" "$env/fake"
cp -r "$libraries/openmm" "$libraries/OpenMM.libs" "$env/site"
cp "$env"/wheels/OpenMM.libs/lib/plugins/*.so "$env/site/OpenMM.libs/lib/plugins"
ln -s ../wheels/nvidia "$env/site/nvidia"

flags="-std=c11 -O1 -Wall -Wextra -Werror -fPIC -shared"
${CC:-cc} $flags -pthread -Wl,-soname,libcuda.so.1 -o "$env/fake/libcuda.so.1" tests/gpu/fake_cuda/{driver,memory,kernels}.c
echo 'libcufft.so.12 { global: cufft*; local: *; };' > "$env/fake/cufft.map"
${CC:-cc} $flags -Wl,-soname,libcufft.so.12 -Wl,--version-script="$env/fake/cufft.map" -o "$env/fake/libcufft.so.12" \
    tests/gpu/fake_cuda/cufft.c
echo "$state" > "$env/state"
