# SPDX-License-Identifier: MIT
"""Makes sure that OpenMM has loaded our kernels.

Our libraries are installed next to OpenMM's, so `import openmm` loads them. It does not when
OPENMM_PLUGIN_DIR points elsewhere, or when openmm and openmmgrad live in different directories: then they are
loaded from here.
"""

import sys
from pathlib import Path

import openmm


def plugin_directories() -> list[Path]:
    """Directories that may hold our platform libraries, in the order in which they are tried."""
    beside = Path(__file__).resolve().parent.parent
    roots = [
        beside / "OpenMM.libs",
        *(Path(entry) / "OpenMM.libs" for entry in sys.path if entry),
        Path(sys.prefix),
    ]
    candidates = dict.fromkeys(root / "lib" / "plugins" for root in roots)
    return [directory for directory in candidates if directory.is_dir()]


def loaded_plugins() -> list[str]:
    """The paths of our platform libraries that OpenMM loaded by itself."""
    return [path for path in openmm.pluginLoadedLibNames if Path(path).name.startswith("libOpenMMGrad")]


def load_plugins() -> list[str]:
    """Load our platform libraries unless OpenMM has, and return their paths.

    Raises
    ------
    ImportError
        If none can be found or loaded; the message lists what OpenMM could not load, and why.
    """
    loaded = loaded_plugins()
    if loaded:
        return loaded
    problems = []
    for directory in plugin_directories():
        for library in sorted(directory.glob("libOpenMMGrad*")):
            try:
                openmm.Platform.loadPluginLibrary(str(library))
                loaded.append(str(library))
            except openmm.OpenMMException as error:
                problems.append(str(error))
        if loaded:
            openmm.pluginLoadedLibNames = (*openmm.pluginLoadedLibNames, *loaded)
            return loaded
    problems += openmm.Platform.getPluginLoadFailures()
    reasons = "".join(f"\n  {problem}" for problem in problems) or " nothing: no library was found"
    raise ImportError(
        f"openmmgrad: the kernels (libOpenMMGrad*) were expected in one of the directories "
        f"{[str(directory) for directory in plugin_directories()]}, found:{reasons}\n"
        f"Install openmm-grad and openmm with the same pip into the same environment; "
        f"`python -m openmm.testInstallation` shows OpenMM's own state."
    )
