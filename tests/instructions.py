# SPDX-License-Identifier: MIT
"""The sets of instructions that this processor has, by their names in OPENMMGRAD_CPU_SIMD; read from the system."""

import re
from pathlib import Path

NEEDS = {  # of the processor, as Linux names it
    "off": set(),
    "sse": {"sse4_1"},
    "avx2": {"avx2", "fma"},
    "avx512": {"avx2", "fma", "avx512f", "avx512vl", "avx512dq", "avx512bw"},
}
FLAGS = set(re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
AVAILABLE = [name for name, needs in NEEDS.items() if needs <= FLAGS]
