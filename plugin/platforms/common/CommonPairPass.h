// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONPAIRPASS_H_
#define OPENMMGRAD_COMMONPAIRPASS_H_

#include "CommonPairParameters.h"
#include "openmm/common/ComputeKernel.h"
#include <string>
#include <vector>

namespace OpenMMGrad {

/**
 * One pass over the pairs of OpenMM's neighbour list (kernels/pairTiles.cc), which must hold for the positions on the
 * device. Nothing waits for the device but the download of results.
 */
class CommonPairPass {
public:
    /** What is summed besides one number for each coefficient; the values are the kernel's own names. */
    enum Kind { Coefficients, Product, Virial };
    CommonPairPass(OpenMM::ComputeContext& cc, CommonPairParameters& parameters, Kind kind, bool usesPeriodic,
                   bool usesExclusions);
    /** @param direction  of a Product: [padded number of particles] real4, each component at most 1 */
    void run(OpenMM::ArrayInterface* direction = nullptr);
    /** Sums by coefficient times factor: [typePair*numCoefficients + k]. */
    void downloadSums(double factor, std::vector<double>& result);
    /** (dF/dx) direction times factor, by index in the System. */
    void downloadProduct(double factor, std::vector<OpenMM::Vec3>& result);
    /** xx, xy, xz, yy, yz, zz. */
    void downloadVirial(double result[6]);

private:
    void compile();
    void addReal(double value);
    void setReal(int index, double value);

    OpenMM::ComputeContext& cc;
    CommonPairParameters& parameters;
    Kind kind;
    bool usesPeriodic, usesExclusions;
    int groupSize, sumExponent, extraExponent;
    OpenMM::ComputeArray sums, extra;
    OpenMM::ComputeKernel kernel;
};

} // namespace OpenMMGrad

#endif
