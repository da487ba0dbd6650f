#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# with_site.sh SITE PYTHON COMMAND: run a command with the packages of SITE (offline_site.sh) for PYTHON, and with CUDA's
# libraries from its nvidia packages or a toolkit, where OpenMM's CUDA platform does not look for them.
set -euo pipefail
site=$(realpath "$1")
python=$2
shift 2
paths=$("$python" - << 'END'
import importlib.util
from pathlib import Path

spec = importlib.util.find_spec("nvidia")
roots = list(spec.submodule_search_locations or []) if spec else []
folders = [folder for root in roots for folder in sorted(Path(root).glob("**/lib"))]
folders += [Path("/usr/local/cuda/lib64"), Path("/usr/local/nvidia/lib64")]
wanted = ("libnvrtc.so", "libcufft.so", "libcuda.so")
print(":".join(str(folder) for folder in folders if any(list(folder.glob(name + "*")) for name in wanted)))
END
)
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$paths
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MPLBACKEND=Agg
exec env "$@"   # VARIABLE=value may come before the command
