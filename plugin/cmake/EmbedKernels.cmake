# SPDX-License-Identifier: MIT
#
# embed_kernels(<target> <namespace> <file>...): kernel texts as strings of the program. Makes a header KernelSources.h with
# `extern const char* const <name of the file without .cc>` in the namespace, made anew when a text changes.
# As a script (cmake -DOUTPUT= -DNAMESPACE= -DFILES= -P): writes the definitions.
if(CMAKE_SCRIPT_MODE_FILE)
    set(text "// SPDX-License-Identifier: MIT\n#include \"KernelSources.h\"\n\nnamespace ${NAMESPACE} {\n")
    string(REPLACE "," ";" FILES "${FILES}")
    foreach(file ${FILES})
        get_filename_component(name ${file} NAME_WE)
        file(READ ${file} source)
        string(APPEND text "\nconst char* const ${name} = R\"KERNEL(${source})KERNEL\";\n")
    endforeach()
    file(WRITE ${OUTPUT} "${text}\n} // namespace ${NAMESPACE}\n")
    return()
endif()

set(embed_kernels_script ${CMAKE_CURRENT_LIST_FILE})
function(embed_kernels target namespace)
    set(directory ${CMAKE_CURRENT_BINARY_DIR}/kernel_sources)
    set(declarations "")
    set(files "")
    foreach(file ${ARGN})
        get_filename_component(name ${file} NAME_WE)
        string(APPEND declarations "extern const char* const ${name};\n")
        list(APPEND files ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    endforeach()
    file(CONFIGURE OUTPUT ${directory}/KernelSources.h CONTENT
        "// SPDX-License-Identifier: MIT\n#pragma once\n\nnamespace ${namespace} {\n${declarations}}\n" @ONLY)
    string(REPLACE ";" "," joined "${files}")
    add_custom_command(
        OUTPUT ${directory}/KernelSources.cpp
        COMMAND ${CMAKE_COMMAND} -DOUTPUT=${directory}/KernelSources.cpp -DNAMESPACE=${namespace} -DFILES=${joined}
                -P ${embed_kernels_script}
        DEPENDS ${files} ${embed_kernels_script} VERBATIM)
    target_sources(${target} PRIVATE ${directory}/KernelSources.cpp)
    target_include_directories(${target} PRIVATE ${directory})
endfunction()
