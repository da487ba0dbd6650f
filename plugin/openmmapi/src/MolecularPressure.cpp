// SPDX-License-Identifier: MIT
#include "MolecularPressure.h"
#include "openmm/OpenMMException.h"
#include "openmm/State.h"
#include "openmm/System.h"
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

const int COMPONENTS[6][2] = {{0, 1}, {0, 2}, {1, 2}, {0, 0}, {1, 1}, {2, 2}};

/** The same lattice by vectors in OpenMM's reduced form. */
void reduce(vector<Vec3>& box) {
    box[2] -= box[1] * std::round(box[2][1] / box[1][1]);
    box[2] -= box[0] * std::round(box[2][0] / box[0][0]);
    box[1] -= box[0] * std::round(box[1][0] / box[0][0]);
}

} // namespace

MolecularPressure::MolecularPressure(Context& context, double strain, bool diagonal)
    : context(context), strain(strain), diagonal(diagonal), molecules(context.getMolecules()) {
    const System& system = context.getSystem();
    if (!system.usesPeriodicBoundaryConditions())
        throw OpenMMException("MolecularPressure: a periodic System was expected, found one without a box. Give its "
                              "forces periodic boundary conditions.");
    for (int i = 0; i < system.getNumParticles(); i++)
        masses.push_back(system.getParticleMass(i));
    for (const vector<int>& molecule : molecules) {
        double mass = 0;
        for (int i : molecule)
            mass += masses[i];
        moleculeMasses.push_back(mass);
    }
}

void MolecularPressure::setParameters(const Context& source) {
    for (const auto& parameter : source.getParameters())
        if (context.getParameter(parameter.first) != parameter.second)
            context.setParameter(parameter.first, parameter.second);
}

void MolecularPressure::average(const Vectors& vectors, Vectors& means) const {
    means.assign(molecules.size(), Vec3());
    for (size_t m = 0; m < molecules.size(); m++)
        for (int i : molecules[m])
            means[m] += vectors[i] * (moleculeMasses[m] > 0 ? masses[i] / moleculeMasses[m] : 1.0 / molecules[m].size());
}

double MolecularPressure::energyUnder(int a, int b, double strain, const Vectors& positions, const Vectors& box) {
    Vectors cell = box;
    for (Vec3& vector : cell)
        vector[a] += strain * vector[b];
    reduce(cell);
    const double cosine = a == b ? 1 : std::cos(strain / 2), sine = a == b ? 0 : std::sin(strain / 2);
    strained.resize(positions.size());
    for (size_t m = 0; m < molecules.size(); m++) {
        const Vec3& centre = centres[m];
        Vec3 moved = centre;
        moved[a] += strain * centre[b];
        for (int i : molecules[m]) {
            const Vec3 arm = positions[i] - centre;
            Vec3 turned = arm;
            if (a != b) {
                turned[a] = cosine * arm[a] + sine * arm[b];
                turned[b] = cosine * arm[b] - sine * arm[a];
            }
            strained[i] = moved + turned;
        }
    }
    context.setPeriodicBoxVectors(cell[0], cell[1], cell[2]);
    context.setPositions(strained);
    return context.getState(State::Energy).getPotentialEnergy();
}

void MolecularPressure::compute(const Vectors& positions, const Vectors& velocities, const Vectors& box,
                                double* pressure) {
    average(positions, centres);
    average(velocities, drifts);
    const double volume = box[0][0] * box[1][1] * box[2][2];
    for (int k = 0; k < getNumComponents(); k++) {
        const int a = COMPONENTS[k][0], b = COMPONENTS[k][1];
        double sum = 0;
        for (size_t m = 0; m < molecules.size(); m++)
            sum += moleculeMasses[m] * drifts[m][a] * drifts[m][b];
        sum -= (energyUnder(a, b, strain, positions, box) - energyUnder(a, b, -strain, positions, box)) / (2 * strain);
        pressure[k] = sum / volume;
    }
}

} // namespace OpenMMGrad
