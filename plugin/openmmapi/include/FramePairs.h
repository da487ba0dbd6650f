// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_FRAMEPAIRS_H_
#define OPENMMGRAD_FRAMEPAIRS_H_

#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Vec3.h"
#include <vector>

namespace OpenMMGrad {

/**
 * The pairs of atoms of stored frames: one atom of each of two selections, which may be equal, disjoint or overlap.
 * A pair of atoms is one pair, whichever selection holds which of them.
 *
 * Frames are periodic: boxes are three vectors with a along x and b in the xy plane, of any skew. Distances are those
 * of nearest images, so they must stay below half the smallest width of the box.
 */
class OPENMMGRAD_EXPORT FramePairs {
public:
    /** @param a,b  indices of atoms, each distinct */
    FramePairs(const std::vector<int>& a, const std::vector<int>& b);

    /**
     * Histograms of distances. A pair is in bin k if edges[k] <= r < edges[k+1], with r as double precision gives it.
     * Threads take whole frames, and share the last ones; the counts do not depend on how many threads there are.
     *
     * @param positions   [numFrames][numAtoms][3], nm
     * @param boxes       [numFrames][3][3], nm
     * @param edges       ends of the bins, evenly spaced, nm
     * @param numThreads  0 is one for each processor
     * @param counts      [numFrames][edges.size()-1], out
     * @throw OpenMMException for boxes and edges unlike this, coordinates that are not finite, atoms that are not there
     */
    void countDistances(const double* positions, const double* boxes, int numFrames, int numAtoms,
                        const std::vector<double>& edges, int numThreads, double* counts) const;
    /**
     * The pairs closer than a distance, in an order that depends on the positions alone.
     * @param[out] pairs      i, j, i, j, ..
     * @param[out] distances  of each pair, nm
     */
    void findWithin(const double* positions, const double* box, int numAtoms, double distance,
                    std::vector<int>& pairs, std::vector<double>& distances) const;

private:
    void checkAtoms(int numAtoms) const;
    /** Two groups without common atoms, or a group and itself, whose pairs are wanted. */
    struct Pairing {
        const std::vector<int>*first, *second;
    };
    std::vector<Pairing> getPairings() const;

    std::vector<int> common, onlyA, onlyB;
    int numAtomsNeeded;
};

} // namespace OpenMMGrad

#endif
