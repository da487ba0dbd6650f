// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_STEPRECORDER_H_
#define OPENMMGRAD_STEPRECORDER_H_

#include "MolecularPressure.h"
#include "VirtualSiteMap.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Context.h"
#include "openmm/Vec3.h"
#include <memory>
#include <utility>
#include <vector>

namespace OpenMMGrad {

/**
 * Steps a Context by its own integrator and keeps few numbers of each recorded step, in rows of the caller's arrays:
 *
 *     values      sums over particles, w_i v_i of each flux and then w_i x_i of each dipole: [row][sum][3]
 *     velocities  of chosen atoms, single precision: [row][atom][3]
 *     pressures   of a MolecularPressure, of every few rows: [row][component]
 *
 * Velocities are those that the Context holds: of leapfrog integrators half a step before the positions. OpenMM holds
 * none of virtual sites: a flux needs their weights on their particles (foldWeights), and a chosen site's velocity is
 * made from its particles'.
 */
class OPENMMGRAD_EXPORT StepRecorder {
public:
    explicit StepRecorder(OpenMM::Context& context);
    void addFlux(const std::vector<double>& weights);
    void addDipole(const std::vector<double>& weights);
    void setAtoms(const std::vector<int>& atoms);
    /**
     * @param pressure  must outlive this object
     * @param every     rows from one sample to the next
     */
    void setPressure(MolecularPressure& pressure, int every);
    /** Values per row: 3 of each flux and dipole. */
    int getNumValues() const { return 3 * (fluxes.size() + dipoles.size()); }
    int getNumAtoms() const { return atoms.size(); }
    /**
     * Rows of numRows times interval steps.
     * @param firstRow   number of the first row: a row is sampled for pressure if its number + 1 is a multiple of every
     */
    void run(int firstRow, int numRows, int interval, double* values, float* velocities, double* pressures);
    /** One row of a state that the caller has. */
    void record(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& velocities, double* values,
                float* kept);
    /** Weights [particle] of virtual sites are moved to their particles, so that sum_i w_i v_i is the same. */
    static void foldWeights(const OpenMM::System& system, double* weights);

private:
    typedef std::vector<OpenMM::Vec3> Vectors;
    typedef std::vector<std::pair<int, double> > Weights;
    static Weights nonzero(const std::vector<double>& weights);
    static double* sum(const std::vector<Weights>& sums, const Vectors& vectors, double* values);

    OpenMM::Context& context;
    std::vector<Weights> fluxes, dipoles;
    std::vector<int> atoms;
    std::unique_ptr<VirtualSiteMap> sites;
    MolecularPressure* pressure;
    int pressureEvery;
    Vectors extended;
};

} // namespace OpenMMGrad

#endif
