// SPDX-License-Identifier: MIT
// A CUDA driver without a device: memory is the host's, kernels are compiled (by the real NVRTC) but not run.
#ifndef FAKE_CUDA_DRIVER_H_
#define FAKE_CUDA_DRIVER_H_

#include <stddef.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, FILE_NOT_FOUND = 301, NOT_FOUND = 500 };
enum { MOST_PARAMETERS = 256, MOST_NAME = 256 };

typedef unsigned long long Address;

/** A kernel as the PTX declares it. */
typedef struct Kernel {
    char name[MOST_NAME];
    int parameters;
    unsigned int sharedBytes;
    char isPointer[MOST_PARAMETERS];
    struct Kernel* next;
} Kernel;

typedef struct {
    Kernel* kernels;
} Module;

/** Whether [address, address + size) lies within one allocation. */
int isAllocated(Address address, size_t size);
/** One line to the file that FAKE_CUDA_LOG names, if it does. */
void report(const char* format, ...) __attribute__((format(printf, 1, 2)));
/** The same to stderr, and INVALID_VALUE. */
int refuse(const char* format, ...) __attribute__((format(printf, 1, 2)));

#endif
