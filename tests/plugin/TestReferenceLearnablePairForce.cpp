// SPDX-License-Identifier: MIT
#include "TestLearnablePairForce.h"

int main() {
    Setup setup;
    setup.platformName = "Reference";
    setup.tolerance = 1e-11;
    setup.derivativeTolerance = 1e-11;
    return runTests(setup);
}
