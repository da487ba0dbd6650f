// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_MOLECULARPRESSURE_H_
#define OPENMMGRAD_MOLECULARPRESSURE_H_

#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Context.h"
#include "openmm/Vec3.h"
#include <vector>

namespace OpenMMGrad {

/**
 * The instantaneous pressure tensor in molecular scaling, kJ/mol/nm^3:
 *
 *     P_ab = (sum_mol M V_a V_b - dU/d eps_ab) / V
 *
 * where a strain eps_ab moves each molecule's centre of mass, X_a += eps_ab X_b, and the box with it, and the molecule
 * rigidly. Components: xy, xz, yz, and with the diagonal xx, yy, zz. dU/d eps is a central difference of energies of a
 * Context of its own. Shears keep OpenMM's form of box vectors; each molecule turns by half the angle of the shear, which
 * makes the component the symmetric part of the tensor: all that differs from a symmetric strain is a turn of everything.
 */
class OPENMMGRAD_EXPORT MolecularPressure {
public:
    /**
     * @param context   whose state is overwritten; its System says what the molecules are
     * @param strain    of the differences
     * @param diagonal  whether xx, yy, zz are wanted
     */
    MolecularPressure(OpenMM::Context& context, double strain, bool diagonal);
    int getNumComponents() const { return diagonal ? 6 : 3; }
    int getNumMolecules() const { return molecules.size(); }
    /** Take the global parameters of the Context that is sampled. */
    void setParameters(const OpenMM::Context& source);
    /**
     * @param box       three vectors in OpenMM's reduced form
     * @param pressure  out: getNumComponents() values
     */
    void compute(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& velocities,
                 const std::vector<OpenMM::Vec3>& box, double* pressure);

private:
    typedef std::vector<OpenMM::Vec3> Vectors;
    /** The mean of vectors over each molecule, weighted by mass; for a molecule without mass, by number. */
    void average(const Vectors& vectors, Vectors& means) const;
    double energyUnder(int a, int b, double strain, const Vectors& positions, const Vectors& box);

    OpenMM::Context& context;
    double strain;
    bool diagonal;
    std::vector<std::vector<int> > molecules;
    std::vector<double> masses, moleculeMasses;
    Vectors centres, drifts, strained;
};

} // namespace OpenMMGrad

#endif
