// SPDX-License-Identifier: MIT
#include "TestLearnablePairForce.h"

/** Energies, and forces asked for with them, are sums in double precision; test_cpu_list.py tests forces alone. */
int main() {
    int failures = 0;
    for (const char* threads : {"1", "2", "3"}) {
        Setup setup;
        setup.platformName = "CPU";
        setup.properties["Threads"] = threads;
        setup.tolerance = 1e-6;   // of OpenMM's CustomNonbondedForce on this platform, in single precision
        setup.derivativeTolerance = 1e-11;
        failures += runTests(setup);
        setup.tolerance = 1e-11;
        for (auto test : {testAgreesWithSumsOverAllImages, testExclusionsAndInteractionGroups, testSymmetries,
                          testEnergyAndForcesAreLinearInCoefficients, testUpdateParametersEqualsRebuild})
            try {
                test(setup);
            } catch (const std::exception& error) {
                std::cout << "CPU in double precision, " << threads << " threads: " << error.what() << std::endl;
                failures++;
            }
    }
    return failures;
}
