// SPDX-License-Identifier: MIT
#include "TestDeviceLearnablePairForce.h"

int main() { return runDeviceTests("CUDA"); }
