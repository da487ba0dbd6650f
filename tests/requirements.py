# SPDX-License-Identifier: MIT
"""Print the requirements of pyproject.toml and of one extra, without torch: the Makefile installs its own build."""

import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
wanted = project["dependencies"] + project["optional-dependencies"][sys.argv[1]]
print(" ".join(line.replace(" ", "") for line in wanted if not line.startswith("torch")))
