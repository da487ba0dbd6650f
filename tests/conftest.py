# SPDX-License-Identifier: MIT
"""Before anything imports OpenMM: each worker of pytest-xdist keeps the OpenCL kernels that it compiles to itself."""

import os
from pathlib import Path

KERNELS = Path(__file__).parents[1] / "build" / "opencl_kernels" / os.environ.get("PYTEST_XDIST_WORKER", "main")
if "POCL_CACHE_DIR" not in os.environ:
    KERNELS.mkdir(parents=True, exist_ok=True)
    os.environ["POCL_CACHE_DIR"] = str(KERNELS)
