// SPDX-License-Identifier: MIT
#include "StepRecorder.h"
#include "openmm/Integrator.h"
#include "openmm/State.h"
#include "openmm/System.h"
#include <algorithm>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

StepRecorder::StepRecorder(Context& context) : context(context), pressure(nullptr), pressureEvery(1) {}

StepRecorder::Weights StepRecorder::nonzero(const vector<double>& weights) {
    Weights found;
    for (size_t i = 0; i < weights.size(); i++)
        if (weights[i] != 0)
            found.emplace_back(i, weights[i]);
    return found;
}

void StepRecorder::addFlux(const vector<double>& weights) { fluxes.push_back(nonzero(weights)); }

void StepRecorder::addDipole(const vector<double>& weights) { dipoles.push_back(nonzero(weights)); }

void StepRecorder::setAtoms(const vector<int>& chosen) {
    atoms = chosen;
    const System& system = context.getSystem();
    if (any_of(atoms.begin(), atoms.end(), [&system](int i) { return system.isVirtualSite(i); }))
        sites.reset(new VirtualSiteMap(system));
}

void StepRecorder::setPressure(MolecularPressure& pressure, int every) {
    this->pressure = &pressure;
    pressureEvery = every;
}

double* StepRecorder::sum(const vector<Weights>& sums, const Vectors& vectors, double* values) {
    for (const Weights& weights : sums) {
        Vec3 total;
        for (const pair<int, double>& entry : weights)
            total += vectors[entry.first] * entry.second;
        for (int k = 0; k < 3; k++)
            *values++ = total[k];
    }
    return values;
}

void StepRecorder::record(const Vectors& positions, const Vectors& velocities, double* values, float* kept) {
    sum(dipoles, positions, sum(fluxes, velocities, values));
    if (atoms.empty())
        return;
    const Vectors* complete = &velocities;
    if (sites) {
        extended = velocities;
        sites->extend(extended);
        complete = &extended;
    }
    for (int i : atoms)
        for (int k = 0; k < 3; k++)
            *kept++ = static_cast<float>((*complete)[i][k]);
}

void StepRecorder::run(int firstRow, int numRows, int interval, double* values, float* velocities, double* pressures) {
    Integrator& integrator = context.getIntegrator();
    const Vectors none;
    const bool moved = !dipoles.empty();
    if (pressure != nullptr)
        pressure->setParameters(context);
    for (int row = firstRow; row < firstRow + numRows; row++) {
        integrator.step(interval);
        const bool sampled = pressure != nullptr && (row + 1) % pressureEvery == 0;
        const State state = context.getState(State::Velocities | (moved || sampled ? State::Positions : 0));
        record(moved ? state.getPositions() : none, state.getVelocities(), values, velocities);
        values += getNumValues();
        velocities += 3 * atoms.size();
        if (sampled) {
            Vectors box(3);
            state.getPeriodicBoxVectors(box[0], box[1], box[2]);
            pressure->compute(state.getPositions(), state.getVelocities(), box, pressures);
            pressures += pressure->getNumComponents();
        }
    }
}

void StepRecorder::foldWeights(const System& system, double* weights) {
    Vectors folded(system.getNumParticles());
    for (size_t i = 0; i < folded.size(); i++)
        folded[i][0] = weights[i];
    VirtualSiteMap(system).pullBack(folded);
    for (size_t i = 0; i < folded.size(); i++)
        weights[i] = folded[i][0];
}

} // namespace OpenMMGrad
