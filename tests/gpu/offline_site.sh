#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# offline_site.sh WHEELS SITE: where no registry can be reached, unpack the wheels of folder WHEELS into folder SITE, and this
# package, built against them with PYTHON, beside them. PYTHON brings torch, numpy, scipy, tqdm, pytest, cmake, ninja and
# scikit-build-core. Built again when the wheels or the sources change.
set -euo pipefail
wheels=$(realpath "$1")
mkdir -p "$2"
site=$(realpath "$2")
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
build=build/gpu_build

"$python" - << 'END'
import importlib.util
import sys

missing = [name for name in ("torch", "numpy", "scipy", "tqdm", "pytest", "scikit_build_core") if not importlib.util.find_spec(name)]
if missing:
    sys.exit(f"offline_site.sh: {sys.executable} was expected to have {', '.join(missing)}; add their wheels, or another PYTHON")
END

state=$( ("$python" --version; cd "$wheels"; stat -c '%n %s' ./*.whl; cd - > /dev/null; find plugin python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc' -print0 \
    | sort -z | xargs -0 cat) | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$site/state" 2> /dev/null)" = "$state" ]; then exit 0; fi

rm -rf "${site:?}" "$build/wheel"
"$python" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
# A wheel of ours is unpacked by hand, because pip --target does not add to a folder that is there (OpenMM.libs).
PYTHONPATH=$site PATH=$site/bin:$PATH "$python" -m pip wheel -q --disable-pip-version-check --no-index --no-deps \
    --no-build-isolation -C build-dir="$build" -w "$build/wheel" .
"$python" -m zipfile -e "$build"/wheel/*.whl "$site"
echo "$state" > "$site/state"
