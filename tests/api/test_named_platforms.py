# SPDX-License-Identifier: MIT
"""Every Context names its platform: OpenMM would choose OpenCL or CUDA wherever there is a driver."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEAST = {"Context": 3, "Simulation": 4}  # arguments, the platform being the last of them


def unnamed(text: str) -> list[str]:
    """Calls without a platform, in Python and in the examples of its docstrings and strings."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            given = len(node.args) + sum(keyword.arg in ("platform", "integrator") for keyword in node.keywords)
            if given < LEAST.get(name, 0):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "Context(" in node.value:
            found += [line for line in node.value.splitlines()
                      if ">>>" in line and "openmm.Context(" in line and "getPlatformByName" not in line]
    return found


FILES = sorted(path for folder in ("python", "tests", "examples", "benchmarks", "plugin/wrappers")
               for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_contexts_name_their_platform(path):
    assert unnamed(path.read_text(encoding="utf-8")) == []


def test_documents_name_the_platform():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "openmm.Context(" not in line or "getPlatformByName" in line, f"{path.name}: {line}"


def test_the_rule_sees_calls():
    assert unnamed("openmm.Context(system, integrator)") and unnamed("app.Simulation(t, system, integrator)")
    assert not unnamed("openmm.Context(system, integrator, platform)")
    assert unnamed('"""\\n>>> c = openmm.Context(system, integrator)\\n"""')
