# SPDX-License-Identifier: MIT
#
# Find OpenMM and decide where our libraries go: always next to OpenMM's own, where `import openmm` loads plugins from.
#   OPENMM_DIR empty: OpenMM's wheel in the environment of Python_EXECUTABLE (site-packages/OpenMM.libs).
#   OPENMM_DIR set:   a prefix with include/OpenMM.h and lib/libOpenMM.so (conda, or installed from source).
# Sets OPENMMGRAD_LIB_DIR, OPENMMGRAD_PLUGIN_DIR (install destinations) and OPENMMGRAD_*_RPATH.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter OPTIONAL_COMPONENTS Development.Module)

set(OPENMM_DIR "" CACHE PATH "Prefix of OpenMM; empty: the pip package `openmm` of the Python in use")
set(openmm_prefix "${OPENMM_DIR}")
if(NOT openmm_prefix)
    # Not `import openmm`: that would load every plugin.
    execute_process(
        COMMAND ${Python_EXECUTABLE} -c
            "import importlib.metadata as m; print(m.distribution('openmm').locate_file('OpenMM.libs'))"
        OUTPUT_VARIABLE openmm_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()

find_path(OPENMM_INCLUDE_DIR OpenMM.h PATHS "${openmm_prefix}/include" NO_DEFAULT_PATH NO_CACHE)
find_library(OPENMM_LIBRARY OpenMM PATHS "${openmm_prefix}/lib" NO_DEFAULT_PATH NO_CACHE)
find_library(OPENMM_CPU_LIBRARY OpenMMCPU PATHS "${openmm_prefix}/lib/plugins" NO_DEFAULT_PATH NO_CACHE)
find_library(OPENMM_OPENCL_LIBRARY OpenMMOpenCL PATHS "${openmm_prefix}/lib/plugins" NO_DEFAULT_PATH NO_CACHE)
if(NOT OPENMM_INCLUDE_DIR OR NOT OPENMM_LIBRARY OR NOT OPENMM_CPU_LIBRARY)
    message(FATAL_ERROR
        "OpenMM-Grad: expected include/OpenMM.h, lib/libOpenMM and lib/plugins/libOpenMMCPU under '${openmm_prefix}', found "
        "'${OPENMM_INCLUDE_DIR}', '${OPENMM_LIBRARY}' and '${OPENMM_CPU_LIBRARY}'. Install openmm with pip into the "
        "Python that builds (${Python_EXECUTABLE}), or set OPENMM_DIR to the prefix of your OpenMM.")
endif()
message(STATUS "OpenMM: ${openmm_prefix}")

foreach(name OpenMM CPU)
    add_library(OpenMM::${name} SHARED IMPORTED)
endforeach()
set_target_properties(OpenMM::OpenMM PROPERTIES
    IMPORTED_LOCATION "${OPENMM_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${OPENMM_INCLUDE_DIR}")
# The platform headers include each other by their bare names.
set_target_properties(OpenMM::CPU PROPERTIES
    IMPORTED_LOCATION "${OPENMM_CPU_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${OPENMM_INCLUDE_DIR};${OPENMM_INCLUDE_DIR}/openmm/reference")

# The platforms of graphics processors. OpenMM's headers for them stand alone: neither OpenCL nor CUDA is needed to build.
set(has_opencl OFF)
if(OPENMM_OPENCL_LIBRARY AND EXISTS "${OPENMM_INCLUDE_DIR}/openmm/opencl/OpenCLPlatform.h")
    set(has_opencl ON)
    add_library(OpenMM::OpenCL SHARED IMPORTED)
    set_target_properties(OpenMM::OpenCL PROPERTIES
        IMPORTED_LOCATION "${OPENMM_OPENCL_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${OPENMM_INCLUDE_DIR}"
        IMPORTED_LINK_DEPENDENT_LIBRARIES "OpenMM::OpenMM")
endif()
find_library(OPENMM_CUDA_LIBRARY OpenMMCUDA PATHS "${openmm_prefix}/lib/plugins" NO_DEFAULT_PATH NO_CACHE)   # for tests alone
set(has_cuda OFF)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND EXISTS "${OPENMM_INCLUDE_DIR}/openmm/cuda/CudaPlatform.h")
    set(has_cuda ON)
endif()
option(OPENMMGRAD_BUILD_OPENCL "Build the kernels of the OpenCL platform" ${has_opencl})
option(OPENMMGRAD_BUILD_CUDA "Build the kernels of the CUDA platform (OpenMM's CUDA platform may be added later)" ${has_cuda})
if(OPENMMGRAD_BUILD_OPENCL AND NOT has_opencl)
    message(FATAL_ERROR "OpenMM-Grad: OPENMMGRAD_BUILD_OPENCL=ON expects lib/plugins/libOpenMMOpenCL and "
        "include/openmm/opencl/OpenCLPlatform.h under '${openmm_prefix}', which has not both. Set it OFF.")
endif()
if(OPENMMGRAD_BUILD_CUDA AND NOT has_cuda)
    message(FATAL_ERROR "OpenMM-Grad: OPENMMGRAD_BUILD_CUDA=ON expects Linux and include/openmm/cuda/CudaPlatform.h "
        "under '${openmm_prefix}', found '${CMAKE_SYSTEM_NAME}' or no such file. Set it OFF.")
endif()

if(NOT SKBUILD)
    set(OPENMMGRAD_LIB_DIR lib)
elseif(NOT OPENMM_DIR)
    set(OPENMMGRAD_LIB_DIR OpenMM.libs/lib)
else()
    # The wheel's data directory is unpacked into sys.prefix, which is OpenMM's own prefix in a conda environment.
    set(OPENMMGRAD_LIB_DIR ${SKBUILD_DATA_DIR}/lib)
endif()
set(OPENMMGRAD_PLUGIN_DIR ${OPENMMGRAD_LIB_DIR}/plugins)
set(OPENMMGRAD_PYTHON_DIR openmmgrad)
set(OPENMMGRAD_API_RPATH "$ORIGIN")
set(OPENMMGRAD_PLUGIN_RPATH "$ORIGIN;$ORIGIN/..")
set(OPENMMGRAD_MODULE_RPATH "$ORIGIN/../OpenMM.libs/lib;$ORIGIN/../../..")
if(OPENMM_DIR)
    list(APPEND OPENMMGRAD_API_RPATH "${OPENMM_DIR}/lib")
    list(APPEND OPENMMGRAD_PLUGIN_RPATH "${OPENMM_DIR}/lib" "${OPENMM_DIR}/lib/plugins")
endif()
