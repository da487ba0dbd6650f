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
 *     values      per channel k: sum_i w_ki v_i, and then, where dipoles are wanted, sum_i w_ki x_i: [row][value]
 *     velocities  of chosen atoms, single precision: [row][atom][3]
 *     pressures   of a MolecularPressure, of every few rows: [row][component]
 *
 * Velocities are those that the Context holds: of leapfrog integrators half a step before the positions. OpenMM holds
 * none of virtual sites: their weights must be on their particles (foldWeights), and a chosen site's are made from its
 * particles'.
 */
class OPENMMGRAD_EXPORT StepRecorder {
public:
    explicit StepRecorder(OpenMM::Context& context);
    void addChannel(const std::vector<double>& weights);
    void setDipoles(bool wanted) { dipoles = wanted; }
    void setAtoms(const std::vector<int>& atoms);
    /**
     * @param pressure  must outlive this object
     * @param every     rows from one sample to the next
     */
    void setPressure(MolecularPressure& pressure, int every);
    /** Values per row: 3 per channel, 6 with dipoles. */
    int getNumValues() const { return (dipoles ? 6 : 3) * channels.size(); }
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
    typedef std::vector<std::pair<int, double> > Channel;
    static OpenMM::Vec3 sum(const Channel& channel, const Vectors& vectors);

    OpenMM::Context& context;
    std::vector<Channel> channels;
    std::vector<int> atoms;
    std::unique_ptr<VirtualSiteMap> sites;
    MolecularPressure* pressure;
    int pressureEvery;
    bool dipoles;
    Vectors extended;
};

} // namespace OpenMMGrad

#endif
