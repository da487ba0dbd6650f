#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Make .venv-torchforce: this package with its extra `torchforce`, as a user installs it (5 GB, some minutes the first time).
# Another environment than the main one, because OpenMM-Torch needs a torch of its own. Built again when the
# requirements change; the package alone is installed again when its sources have.
set -euo pipefail
cd "$(dirname "$0")/../.."
env=.venv-torchforce
pip() { "$env/bin/python" -m pip --disable-pip-version-check "$@"; }
hash_of() { sha256sum | cut -d ' ' -f 1; }

requirements=$( (${PYTHON:-python3} --version; sed -n '/^dependencies/,/^\]/p;/^torchforce/p;/^test/p;/^requires/p' pyproject.toml; \
    cat tests/torchforce/build_env.sh) | hash_of)
sources=$(find plugin python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 cat | hash_of)

if [ "$(cat $env/requirements.sha256 2> /dev/null)" != "$requirements" ]; then
    rm -rf $env build/torchforce
    ${PYTHON:-python3} -m venv $env
    # openmm first: the plugin is compiled against the one installed here
    pip install -q --no-cache-dir "openmm==8.6.1" "scikit-build-core>=0.10" "swig>=4.4,<5" "cmake>=3.20" ninja
    pip install -q --no-cache-dir --no-build-isolation -C build-dir=build/torchforce ".[torchforce,test]" "openmm==8.6.1"
    echo "$requirements" > $env/requirements.sha256
elif [ "$(cat $env/sources.sha256 2> /dev/null)" != "$sources" ]; then
    pip install -q --no-deps --no-build-isolation -C build-dir=build/torchforce .
fi
echo "$sources" > $env/sources.sha256
