// SPDX-License-Identifier: MIT
#include "driver.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Allocation {
    char* start;
    size_t size;
    struct Allocation* next;
} Allocation;

static Allocation* allocations = NULL;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void vreport(FILE* file, const char* format, va_list arguments) {
    vfprintf(file, format, arguments);
    fputc('\n', file);
}

void report(const char* format, ...) {
    const char* path = getenv("FAKE_CUDA_LOG");
    FILE* file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    vreport(file, format, arguments);
    va_end(arguments);
    fclose(file);
}

int refuse(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("fake libcuda: ", stderr);
    vreport(stderr, format, arguments);
    va_end(arguments);
    return INVALID_VALUE;
}

int isAllocated(Address address, size_t size) {
    const char* first = (const char*) (size_t) address;
    int found = 0;
    pthread_mutex_lock(&lock);
    for (const Allocation* a = allocations; a != NULL && !found; a = a->next)
        found = first >= a->start && first + size <= a->start + a->size;
    pthread_mutex_unlock(&lock);
    return found;
}

// Zeros, because what no kernel has written is read: numbers of neighbours are to be 0, not anything.
static void* allocate(size_t size) {
    Allocation* made = malloc(sizeof(Allocation));
    made->size = size;
    made->start = aligned_alloc(256, (size + 255) / 256 * 256);
    memset(made->start, 0, (size + 255) / 256 * 256);
    pthread_mutex_lock(&lock);
    made->next = allocations;
    allocations = made;
    pthread_mutex_unlock(&lock);
    return made->start;
}

static int release(const void* start) {
    int result = INVALID_VALUE;
    pthread_mutex_lock(&lock);
    for (Allocation** link = &allocations; *link != NULL; link = &(*link)->next)
        if ((*link)->start == start) {
            Allocation* gone = *link;
            *link = gone->next;
            free(gone->start);
            free(gone);
            result = SUCCESS;
            break;
        }
    pthread_mutex_unlock(&lock);
    return result;
}

int cuMemAlloc_v2(Address* address, size_t size) {
    if (size == 0)
        return refuse("allocation of 0 bytes");
    *address = (Address) (size_t) allocate(size);
    return SUCCESS;
}

int cuMemFree_v2(Address address) {
    return release((void*) (size_t) address);
}

int cuMemHostAlloc(void** pointer, size_t size, unsigned int flags) {
    (void) flags;
    *pointer = allocate(size);
    return SUCCESS;
}

int cuMemFreeHost(void* pointer) {
    return release(pointer);
}

int cuMemHostGetDevicePointer_v2(Address* address, void* pointer, unsigned int flags) {
    (void) flags;
    *address = (Address) (size_t) pointer;
    return isAllocated(*address, 1) ? SUCCESS : refuse("the device address of memory that is not pinned was asked for");
}

int cuMemcpyHtoD_v2(Address to, const void* from, size_t size) {
    if (!isAllocated(to, size))
        return refuse("copy of %zu bytes to outside of device memory", size);
    memcpy((void*) (size_t) to, from, size);
    return SUCCESS;
}

static int copyToHost(void* to, Address from, size_t size) {
    if (!isAllocated(from, size))
        return refuse("copy of %zu bytes from outside of device memory", size);
    memcpy(to, (void*) (size_t) from, size);
    return SUCCESS;
}

int cuMemcpyDtoH_v2(void* to, Address from, size_t size) {
    report("read %zu", size);
    return copyToHost(to, from, size);
}

int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void* stream) {
    (void) stream;
    if (!isAllocated(from, size))
        return refuse("copy of %zu bytes from outside of device memory", size);
    return cuMemcpyHtoD_v2(to, (void*) (size_t) from, size);
}

int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t size, void* stream) {
    (void) stream;
    return cuMemcpyHtoD_v2(to, from, size);
}

int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t size, void* stream) {
    (void) stream;
    return copyToHost(to, from, size);
}

int cuMemcpyAsync(Address to, Address from, size_t size, void* stream) {
    (void) stream;
    memcpy((void*) (size_t) to, (void*) (size_t) from, size);
    return SUCCESS;
}
