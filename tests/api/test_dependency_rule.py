# SPDX-License-Identifier: MIT
"""Who may import what: physics and statistics know torch and numpy, few modules know OpenMM, nothing needs fitting."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "openmmgrad"
MODULES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
PURE = ("potentials/", "observables/", "counts.py", "dipole.py", "errors.py", "estimate.py", "fourier.py",
        "frames.py", "measured_spectra.py", "path.py", "platforms.py", "recording.py", "refractive_index.py",
        "selection.py", "series.py", "spectral.py", "spectrum_bands.py", "spline.py", "storage.py", "table_values.py",
        "tables.py", "targets.py", "units.py", "weights.py")
KNOW_OPENMM = ("_load.py", "backends/", "contexts.py", "export.py", "features.py", "fluids.py", "global_parameters.py",
               "integrators.py", "learnt_parameters.py", "model.py", "pair_terms.py", "parameter_energy.py",
               "planar.py", "propagation/", "recorder.py", "recorder_setup.py", "sampling.py", "stress.py",
               "system_energy.py", "torch_energy.py", "waters.py")
# compiled loops for physics: arrays in and out, and of OpenMM nothing but the library that the loops lie in
LOOPS = ("frame_pairs.py",)
# a Quantity is taken apart where one is given, and not before
LAZY = {("units.py", "openmm.unit")}


def imports(name: str) -> list[tuple[str, bool]]:
    """(absolute module name, whether it is imported inside a function) of every import in a module."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    top = set(tree.body)
    package = ["openmmgrad", *Path(name).parent.parts]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(f"{module}.{alias.name}", node not in top) for alias in node.names]
    return found


def is_in(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in places)


def imported(name: str, package: str, lazily_too: bool = True) -> list[str]:
    return [module for module, lazy in imports(name)
            if (module == package or module.startswith(package + ".")) and (lazily_too or not lazy)]


def test_every_module_has_its_place():
    others = [name for name in MODULES if not is_in(name, PURE + KNOW_OPENMM + LOOPS)]
    assert [name for name in others if not name.startswith("fitting/")] == ["__init__.py", "exact.py"]
    assert [place for place in PURE + KNOW_OPENMM + LOOPS if not any(is_in(name, (place,)) for name in MODULES)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if is_in(name, PURE)])
def test_physics_and_statistics_do_not_know_openmm(name):
    assert [module for module in imported(name, "openmm") if (name, module) not in LAZY] == []
    # nor through a module that does
    ours = [module.split(".", 1)[1] for module, _ in imports(name) if module.startswith("openmmgrad.")]
    assert [module for module in ours if is_in(module.split(".")[0] + ".py", KNOW_OPENMM)
            or is_in(module.split(".")[0] + "/", KNOW_OPENMM) or module.startswith("plugin")] == []


@pytest.mark.parametrize("name", LOOPS)
def test_compiled_loops_know_arrays_only(name):
    ours = [module for module, _ in imports(name) if module.startswith("openmmgrad.")]
    assert imported(name, "openmm") == []
    assert set(ours) == {"openmmgrad.plugin", "openmmgrad.errors.require"}


@pytest.mark.parametrize("name", [name for name in MODULES if not is_in(name, PURE + KNOW_OPENMM)])
def test_openmm_is_known_only_where_stated(name):
    assert imported(name, "openmm") == []


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("fitting/")])
def test_nothing_but_the_front_imports_fitting(name):
    assert imported(name, "openmmgrad.fitting") == [] or name == "__init__.py"


def test_the_rule_sees_imports_of_every_form():
    assert ("openmm", False) in imports("model.py")
    assert ("openmm.unit", True) in imports("units.py")
    assert ("openmmgrad.errors.require", False) in imports("fitting/loop.py")
    assert imported("__init__.py", "openmmgrad.fitting") != []
