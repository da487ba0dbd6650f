// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONPAIRPARAMETERS_H_
#define OPENMMGRAD_COMMONPAIRPARAMETERS_H_

#include "LearnablePairForce.h"
#include "openmm/common/ComputeArray.h"
#include "openmm/common/ComputeContext.h"
#include <vector>

namespace OpenMMGrad {

/**
 * What kernels on a device read of a LearnablePairForce, and the scales of the integers they add up.
 *
 * Particles of equal type in equal interaction groups form a class. A table of classes says which row of the spline table a
 * pair takes, or -1 where it does not interact; the spline table has one cubic in t = r/h - interval for each interval.
 *
 * Sums are 64 bit integers, value*scale, with scale = 2^exponent such that the largest possible sum stays below 2^62.
 * With N = 1,000,000, and at most 1024 pairs a particle and coefficient (2^30 pairs):
 *   dU/dc             terms <= 2/3                     exponent 32 (31 in single precision)
 *   (dF/dc)^T lambda  terms <= 2 sqrt(3) * 2/3 < 2.4   exponent 30, as |lambda| <= 1 for each component (the caller's
 *                                                      longest is divided out) and B' is in units of the intervals
 *   d(tr W)/dc        terms <= 2/3                     exponent 32 (31)
 * so that a term is rounded by 5e-10 at most, and smaller systems have more room. Where a bound depends on the potential,
 * it is taken 64 times for each particle: fewer particles find room where u' and u'' are largest.
 *   product           64 * 2 sqrt(3) max(|u''|, |u'/r|): for 1e6 kJ/mol/nm^2 exponent 34, and 1e-10 kJ/mol/nm^2 rounding
 *   virial            64 N max |u' r|: for 1e4 kJ/mol and N = 1,000,000 exponent 22, rounding 1e-7 kJ/mol a tile and thread
 */
class CommonPairParameters {
public:
    /** @throws OpenMMException where the interaction groups make more classes than a table can hold */
    CommonPairParameters(OpenMM::ComputeContext& cc, const LearnablePairForce& force);
    /** Types and coefficients to the device. @return whether any particle has changed its class */
    bool update(const LearnablePairForce& force);

    int getNumClasses() const { return numClasses; }
    /** Where there is one class: the row of all pairs, or -1. */
    int getOnlyRow() const { return onlyRow; }
    int getNumIntervals() const { return numIntervals; }
    int getNumSums() const { return numTypePairs * (numIntervals + 3); }
    double getCutoff() const { return cutoff; }
    double getInverseWidth() const { return numIntervals / cutoff; }
    const std::vector<int>& getClassOfParticle() const { return classOfParticle; }
    OpenMM::ComputeArray& getClasses() { return classes; }
    OpenMM::ComputeArray& getRows() { return rows; }
    OpenMM::ComputeArray& getTable() { return table; }

    /** The exponents of the scales. */
    int getSumExponent(double largestTerm) const;
    int getProductExponent() const;
    int getVirialExponent() const;

private:
    void findMemberships(const LearnablePairForce& force);
    void fillTable(const LearnablePairForce& force);
    template <class Real4, class Real> void uploadTable(const std::vector<double>& cubics);

    OpenMM::ComputeContext& cc;
    int numParticles, numTypes, numTypePairs, numIntervals, numClasses, onlyRow;
    double cutoff, largestStiffness, largestVirial;
    std::vector<int> membershipOfParticle, classOfParticle;
    OpenMM::ComputeArray classes, rows, table;
};

} // namespace OpenMMGrad

#endif
