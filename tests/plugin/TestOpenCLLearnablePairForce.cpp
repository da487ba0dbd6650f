// SPDX-License-Identifier: MIT
#include "TestDeviceLearnablePairForce.h"

int main(int argc, char** argv) { return runDeviceTests("OpenCL", argc, argv); }
