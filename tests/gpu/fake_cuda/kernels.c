// SPDX-License-Identifier: MIT
// Modules are read, launches are checked against what the PTX declares, and nothing runs.
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A parameter holds an address if its register is turned into one: in "ld.param.u64 %rd1, [name_param_0]; .. cvta.to.global.u64
// %rd2, %rd1;" it is %rd1.
static int isAddress(const char* body, const char* end, const char* name, int parameter) {
    char text[MOST_NAME + 32], used[64];
    snprintf(text, sizeof(text), ", [%s_param_%d];", name, parameter);
    const char* load = strstr(body, text);
    if (load == NULL || load >= end)
        return 0;
    const char* first = load;
    while (*first != '%')
        first--;
    snprintf(used, sizeof(used), ", %.*s;", (int) (load - first), first);
    for (const char* at = body; (at = strstr(at, "cvta.to.global.u64")) != NULL && at < end; at++) {
        const char* comma = strchr(at, ',');
        if (strncmp(comma, used, strlen(used)) == 0)
            return 1;
    }
    return 0;
}

// Bytes of ".shared .align 16 .b8 name[1024];" in a kernel's text.
static unsigned int sharedMemory(const char* body, const char* end) {
    unsigned int bytes = 0;
    for (const char* at = body; (at = strstr(at, ".shared .align ")) != NULL && at < end; at++) {
        const char* length = at + strcspn(at, "[;");
        if (*length == '[')
            bytes += strtoul(length + 1, NULL, 10);
    }
    return bytes;
}

// Text of "name(.param .u64 name_param_0, .param .f32 name_param_1) { .. }".
static const char* readEntry(const char* text, Kernel* kernel) {
    const char* open = strchr(text, '(');
    const char* close = open == NULL ? NULL : strchr(open, ')');
    if (close == NULL)
        return NULL;
    const char* next = strstr(close, ".entry ");
    const char* end = next == NULL ? close + strlen(close) : next;
    snprintf(kernel->name, MOST_NAME, "%.*s", (int) (open - text), text);
    for (const char* at = open; (at = strstr(at, ".param")) != NULL && at < close; at++)
        if (strncmp(at + strlen(".param"), " .", 2) == 0 && kernel->parameters < MOST_PARAMETERS) {
            int i = kernel->parameters++;
            kernel->isPointer[i] = isAddress(close, end, kernel->name, i);
        }
    kernel->sharedBytes = sharedMemory(close, end);
    return close;
}

int cuModuleLoadDataEx(Module** module, const void* image, unsigned int n, void* options, void** values) {
    (void) n;
    (void) options;
    (void) values;
    Module* made = calloc(1, sizeof(Module));
    const char* text = image;
    while (text != NULL && (text = strstr(text, ".entry ")) != NULL) {
        Kernel* kernel = calloc(1, sizeof(Kernel));
        text = readEntry(text + strlen(".entry "), kernel);
        report("compiled %s: %u bytes of shared memory", kernel->name, kernel->sharedBytes);
        kernel->next = made->kernels;
        made->kernels = kernel;
    }
    *module = made;
    return made->kernels == NULL ? refuse("a module without a kernel") : SUCCESS;
}

int cuModuleLoad(Module** module, const char* path) {
    FILE* file = fopen(path, "rb");
    if (file == NULL)
        return FILE_NOT_FOUND;
    fseek(file, 0, SEEK_END);
    size_t size = ftell(file);
    rewind(file);
    char* text = calloc(size + 1, 1);
    int complete = fread(text, 1, size, file) == size;
    fclose(file);
    int result = complete ? cuModuleLoadDataEx(module, text, 0, NULL, NULL) : FILE_NOT_FOUND;
    free(text);
    return result;
}

int cuModuleGetFunction(Kernel** kernel, Module* module, const char* name) {
    for (Kernel* k = module->kernels; k != NULL; k = k->next)
        if (strcmp(k->name, name) == 0) {
            *kernel = k;
            return SUCCESS;
        }
    return NOT_FOUND;
}

int cuFuncGetAttribute(int* value, int which, Kernel* kernel) {
    (void) kernel;
    *value = which == 0 ? 1024 : 0;   // 0: threads per block
    return SUCCESS;
}

int cuLaunchKernel(Kernel* kernel, unsigned int gridX, unsigned int gridY, unsigned int gridZ, unsigned int blockX,
                   unsigned int blockY, unsigned int blockZ, unsigned int shared, void* stream, void** arguments,
                   void** extra) {
    (void) stream;
    (void) extra;
    shared += kernel->sharedBytes;
    if (gridX == 0 || gridY == 0 || gridZ == 0 || blockX == 0 || blockX * blockY * blockZ > 1024 || shared > 49152)
        return refuse("%s: %u blocks of %u threads with %u bytes of shared memory", kernel->name, gridX, blockX, shared);
    for (int i = 0; i < kernel->parameters; i++) {
        if (arguments[i] == NULL)
            return refuse("%s: no argument %d", kernel->name, i);
        if (kernel->isPointer[i] && !isAllocated(*(Address*) arguments[i], 1))
            return refuse("%s: argument %d is no device memory", kernel->name, i);
    }
    report("launched %s", kernel->name);
    return SUCCESS;
}
