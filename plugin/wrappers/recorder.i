// SPDX-License-Identifier: MIT
// StepRecorder and MolecularPressure for openmmgrad.recorder and .stress: arrays in and out, Python's lock released.
%{
#include "MolecularPressure.h"
#include "StepRecorder.h"
#include "openmm/System.h"

namespace {

std::vector<OpenMM::Vec3> vectorsOf(const double* values, int count) {
    std::vector<OpenMM::Vec3> vectors(count / 3);
    for (int i = 0; i < 3 * static_cast<int>(vectors.size()); i++)
        vectors[i / 3][i % 3] = values[i];
    return vectors;
}

} // namespace
%}

BUFFER(float, "f", true)
%apply (float* values, int count) { (float* velocities, int velocityCount) };
%apply (double* values, int count) { (double* pressures, int pressureCount) };
%apply (const double* values, int count) { (const double* box, int boxCount) };

RELEASE_GIL(OpenMMGrad::MolecularPressure::compute)
RELEASE_GIL(OpenMMGrad::StepRecorder::run)

namespace OpenMMGrad {

class MolecularPressure {
public:
    MolecularPressure(OpenMM::Context& context, double strain, bool diagonal);
    int getNumComponents() const;
    int getNumMolecules() const;
    void setParameters(const OpenMM::Context& source);
    %extend {
        void compute(const double* x, int xCount, const double* v, int vCount, const double* box, int boxCount,
                     double* pressures, int pressureCount) {
            $self->compute(vectorsOf(x, xCount), vectorsOf(v, vCount), vectorsOf(box, boxCount), pressures);
        }
    }
};

class StepRecorder {
public:
    explicit StepRecorder(OpenMM::Context& context);
    void setPressure(MolecularPressure& pressure, int every);
    int getNumValues() const;
    int getNumAtoms() const;
    %extend {
        void addFlux(const double* values, int count) { $self->addFlux(std::vector<double>(values, values + count)); }
        void addDipole(const double* values, int count) { $self->addDipole(std::vector<double>(values, values + count)); }
        void setAtoms(const int* values, int count) { $self->setAtoms(std::vector<int>(values, values + count)); }
        void run(int firstRow, int numRows, int interval, double* values, int count, float* velocities,
                 int velocityCount, double* pressures, int pressureCount) {
            $self->run(firstRow, numRows, interval, values, velocities, pressures);
        }
        void record(const double* x, int xCount, const double* v, int vCount, double* values, int count,
                    float* velocities, int velocityCount) {
            $self->record(vectorsOf(x, xCount), vectorsOf(v, vCount), values, velocities);
        }
        static void foldWeights(const OpenMM::System& system, double* values, int count) {
            OpenMMGrad::StepRecorder::foldWeights(system, values);
        }
    }
};

}
