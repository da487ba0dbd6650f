# SPDX-License-Identifier: MIT

# Warnings, and OpenMM's headers before any other OpenMM in the system's paths, without their warnings.
function(set_openmmgrad_options name)
    if(NOT MSVC)
        target_compile_options(${name} PRIVATE -Wall -Wextra $<$<BOOL:${OPENMMGRAD_WARNINGS_AS_ERRORS}>:-Werror>)
    endif()
    get_target_property(headers OpenMM::OpenMM INTERFACE_INCLUDE_DIRECTORIES)
    target_include_directories(${name} SYSTEM BEFORE PRIVATE ${headers})
endfunction()

# A shared library without undefined symbols: a missing one would otherwise kill the process at its first call, because
# OpenMM loads plugins lazily.
function(add_openmmgrad_library name)
    add_library(${name} SHARED ${ARGN})
    set_openmmgrad_options(${name})
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        target_link_options(${name} PRIVATE -Wl,-z,defs)
    endif()
endfunction()

# libOpenMMGrad<platform>: the kernels of one platform, loaded by OpenMM from its plugin directory.
function(add_openmmgrad_platform platform)
    set(name OpenMMGrad${platform})
    add_openmmgrad_library(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE OpenMMGrad)
    set_target_properties(${name} PROPERTIES INSTALL_RPATH "${OPENMMGRAD_PLUGIN_RPATH}")
    install(TARGETS ${name} DESTINATION ${OPENMMGRAD_PLUGIN_DIR})
endfunction()
