// SPDX-License-Identifier: MIT
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Attributes of a device by CUDA's numbers; compute capability 9.0.
static int attribute(int which) {
    switch (which) {
    case 1: case 2: case 3: return 1024;   // threads per block; block dimensions x, y
    case 8: return 49152;                  // bytes of shared memory per block
    case 10: return 32;                    // threads per warp
    case 13: return 1000000;               // kHz
    case 16: return 4;                     // multiprocessors
    case 75: return 9;                     // compute capability, major
    case 76: return 0;                     // and minor
    default: return 0;
    }
}

int cuInit(unsigned int flags) {
    (void) flags;
    return SUCCESS;
}

int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}

/** NVRTC asks for this and needs a refusal. */
int cuGetExportTable(const void** table, const void* id) {
    (void) id;
    *table = NULL;
    return INVALID_VALUE;
}

int cuGetErrorName(int error, const char** name) {
    static char text[32];
    snprintf(text, sizeof(text), "CUDA error %d", error);
    *name = text;
    return SUCCESS;
}

int cuDeviceGetCount(int* count) {
    *count = 1;
    return SUCCESS;
}

int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}

int cuDeviceGetName(char* name, int size, int device) {
    (void) device;
    snprintf(name, size, "no device (fake libcuda)");
    return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int which, int device) {
    (void) device;
    *value = attribute(which);
    return SUCCESS;
}

int cuDeviceCanAccessPeer(int* can, int one, int other) {
    (void) one;
    (void) other;
    *can = 0;
    return SUCCESS;
}

int cuCtxEnablePeerAccess(void* context, unsigned int flags) {
    (void) context;
    (void) flags;
    return INVALID_VALUE;
}

// The stack of contexts of this thread.
static __thread void* contexts[64];
static __thread int depth = 0;

int cuCtxPushCurrent_v2(void* context) {
    if (depth == 64)
        return refuse("64 contexts pushed: was one not popped?");
    contexts[depth++] = context;
    return SUCCESS;
}

int cuCtxPopCurrent_v2(void** context) {
    if (depth == 0)
        return INVALID_CONTEXT;
    *context = contexts[--depth];
    return SUCCESS;
}

int cuCtxSetCurrent(void* context) {
    if (depth == 0)
        depth = 1;
    contexts[depth - 1] = context;
    return SUCCESS;
}

int cuCtxCreate_v4(void** context, void* parameters, unsigned int flags, int device) {
    (void) parameters;
    (void) flags;
    (void) device;
    *context = malloc(1);
    return cuCtxPushCurrent_v2(*context);
}

int cuCtxDestroy_v2(void* context) {
    free(context);
    return SUCCESS;
}

int cuCtxSetCacheConfig(int config) {
    (void) config;
    return SUCCESS;
}

int cuCtxSynchronize(void) {
    report("waited");
    return SUCCESS;
}

int cuProfilerStop(void) {
    return SUCCESS;
}

// Streams and events: all is done when a call returns.
int cuStreamCreate(void** stream, unsigned int flags) {
    (void) flags;
    *stream = malloc(1);
    return SUCCESS;
}

int cuStreamDestroy_v2(void* stream) {
    free(stream);
    return SUCCESS;
}

int cuStreamSynchronize(void* stream) {
    (void) stream;
    report("waited");
    return SUCCESS;
}

int cuStreamWaitEvent(void* stream, void* event, unsigned int flags) {
    (void) stream;
    (void) event;
    (void) flags;
    return SUCCESS;
}

int cuEventCreate(void** event, unsigned int flags) {
    return cuStreamCreate(event, flags);
}

int cuEventDestroy_v2(void* event) {
    return cuStreamDestroy_v2(event);
}

int cuEventRecord(void* event, void* stream) {
    (void) event;
    (void) stream;
    return SUCCESS;
}

int cuEventSynchronize(void* event) {
    (void) event;
    report("waited");
    return SUCCESS;
}
