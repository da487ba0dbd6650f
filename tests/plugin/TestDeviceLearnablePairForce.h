// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_TESTDEVICELEARNABLEPAIRFORCE_H_
#define OPENMMGRAD_TESTDEVICELEARNABLEPAIRFORCE_H_

#include "TestLearnablePairForce.h"

/** All cases on OpenCL or CUDA in the precisions that the program's arguments name. @return the exit status */
inline int runDeviceTests(const std::string& platformName, int argc, char** argv) {
    int failures = argc > 1 ? 0 : 1;
    for (const std::string& precision : std::vector<std::string>(argv + 1, argv + argc)) {
        const bool isDouble = precision == "double";
        Setup setup;
        setup.platformName = platformName;
        setup.properties["Precision"] = precision;
        // In double precision forces are multiples of 2^-32 kJ/mol/nm, and those of some cases are as small as 0.04. In
        // single precision a distance is known to 1e-7 nm, which u'' of random coefficients makes 1e-5 of a force.
        setup.tolerance = isDouble ? 2e-8 : 2e-5;
        setup.derivativeTolerance = isDouble ? 1e-10 : 2e-5;
        setup.resolution = isDouble ? 1e-15 : 3e-7;
        setup.canBeAlone = false;
        setup.narrowBox = "less than twice the nonbonded cutoff";   // OpenMM's own words come first
        std::cout << platformName << ", " << precision << std::endl;
        failures += runTests(setup);
    }
    return failures;
}

#endif
