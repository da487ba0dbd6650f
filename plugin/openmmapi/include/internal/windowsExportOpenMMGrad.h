// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_WINDOWSEXPORT_H_
#define OPENMMGRAD_WINDOWSEXPORT_H_

/** Marks what libOpenMMGrad shows to other libraries: everything else is hidden. */
#if defined(_MSC_VER)
    #if defined(OPENMMGRAD_BUILDING_SHARED_LIBRARY)
        #define OPENMMGRAD_EXPORT __declspec(dllexport)
    #else
        #define OPENMMGRAD_EXPORT __declspec(dllimport)
    #endif
    #define OPENMMGRAD_PLUGIN_EXPORT __declspec(dllexport)
#else
    #define OPENMMGRAD_EXPORT __attribute__((visibility("default")))
    #define OPENMMGRAD_PLUGIN_EXPORT __attribute__((visibility("default")))
#endif

#endif
