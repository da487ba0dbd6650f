// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_FRAMEFEATURES_H_
#define OPENMMGRAD_FRAMEFEATURES_H_

#include "LearnablePairForce.h"
#include "internal/windowsExportOpenMMGrad.h"
#include <memory>

namespace OpenMMGrad {

/**
 * dU/dc and d(tr W)/dc of stored frames, of a LearnablePairForce, without a Context: what its methods
 * computeCoefficientDerivatives() and computeVirial() give, from one pass over the pairs of each frame.
 */
class OPENMMGRAD_EXPORT FrameFeatures {
public:
    /** @param force  as it is now: later changes have no effect */
    explicit FrameFeatures(const LearnablePairForce& force);
    ~FrameFeatures();
    int getNumParticles() const;
    /** F, the number of pairs of types times the number of coefficients of each. */
    int getNumFeatures() const;
    /**
     * Threads take whole frames, or parts of a frame where there are fewer frames than threads. The results do not
     * depend on how many threads there are.
     *
     * @param positions   [numFrames][N][3], nm
     * @param boxes       [numFrames][3][3], nm, with a along x and b in the xy plane; null without periodicity
     * @param numThreads  0 is one for each processor
     * @param features    [numFrames][F], out; so is virial
     * @throw OpenMMException for boxes unlike this or too small for the cutoff, and coordinates that are not finite
     */
    void compute(const double* positions, const double* boxes, int numFrames, int numThreads, double* features,
                 double* virial) const;

private:
    class Frame;
    struct Spline;
    std::unique_ptr<LearnablePairForce> force;
    std::unique_ptr<Spline> spline;
};

} // namespace OpenMMGrad

#endif
