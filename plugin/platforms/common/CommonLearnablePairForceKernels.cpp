// SPDX-License-Identifier: MIT
#include "CommonLearnablePairForceKernels.h"
#include "KernelSources.h"
#include "openmm/CustomNonbondedForce.h"
#include "openmm/NonbondedForce.h"
#include "openmm/OpenMMException.h"
#include "openmm/common/ComputeForceInfo.h"
#include "openmm/common/ContextSelector.h"
#include "openmm/common/NonbondedUtilities.h"
#include "openmm/internal/ContextImpl.h"
#include <algorithm>
#include <cmath>
#include <map>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** Of nonbonded forces in the force's group: OpenMM wants one cutoff there, and ours may be shorter by its own test. */
double longestCutoff(const System& system, const LearnablePairForce& force) {
    double longest = force.getCutoffDistance();
    for (int index = 0; index < system.getNumForces(); index++) {
        const Force& other = system.getForce(index);
        if (other.getForceGroup() != force.getForceGroup())
            continue;
        if (const auto* nonbonded = dynamic_cast<const NonbondedForce*>(&other))
            longest = max(longest, nonbonded->getCutoffDistance());
        else if (const auto* custom = dynamic_cast<const CustomNonbondedForce*>(&other))
            longest = max(longest, custom->getCutoffDistance());
        else if (const auto* learnable = dynamic_cast<const LearnablePairForce*>(&other))
            longest = max(longest, learnable->getCutoffDistance());
    }
    return longest;
}

} // namespace

/** Which particles OpenMM may exchange: those of one class, with their partners in exclusions. */
class CommonCalcLearnablePairForceKernel::ForceInfo : public ComputeForceInfo {
public:
    ForceInfo(const CommonPairParameters& parameters, const LearnablePairForce& force) : parameters(parameters) {
        for (int index = 0; index < force.getNumExclusions(); index++) {
            int i, j;
            force.getExclusionParticles(index, i, j);
            exclusions.push_back({i, j});
        }
    }
    bool areParticlesIdentical(int particle1, int particle2) {
        const vector<int>& classes = parameters.getClassOfParticle();
        return classes[particle1] == classes[particle2];
    }
    int getNumParticleGroups() { return exclusions.size(); }
    void getParticlesInGroup(int index, vector<int>& particles) { particles = exclusions[index]; }
    bool areGroupsIdentical(int, int) { return true; }

private:
    const CommonPairParameters& parameters;
    vector<vector<int> > exclusions;
};

CommonCalcLearnablePairForceKernel::~CommonCalcLearnablePairForceKernel() {
    ContextSelector selector(cc);
    for (auto& pass : passes)
        pass.reset();
    parameters.reset();
}

void CommonCalcLearnablePairForceKernel::initialize(const System& system, const LearnablePairForce& force) {
    ContextSelector selector(cc);
    int forceIndex = 0;
    while (forceIndex < system.getNumForces() && &system.getForce(forceIndex) != &force)
        forceIndex++;
    forceGroup = force.getForceGroup();
    usesPeriodic = force.usesPeriodicBoundaryConditions();
    usesExclusions = force.getNumExclusions() > 0;
    parameters.reset(new CommonPairParameters(cc, force));
    addInteraction(system, force, forceIndex);
    info = new ForceInfo(*parameters, force);
    cc.addForce(info);
}

void CommonCalcLearnablePairForceKernel::addInteraction(const System& system, const LearnablePairForce& force,
                                                        int forceIndex) {
    const string prefix = "learnable" + cc.intToString(forceIndex) + "_";
    const bool oneClass = parameters->getNumClasses() == 1;
    map<string, string> names;
    // Without exclusions of its own the force looks at no flags, which may be another force's.
    names["INCLUDED"] = usesExclusions ? "!isExcluded"
                                       : "(atom1 < NUM_ATOMS && atom2 < NUM_ATOMS && (int) atom1 != (int) atom2)";
    names["ROW"] = oneClass ? cc.intToString(parameters->getOnlyRow())
                            : prefix + "rows[" + prefix + "class1*" + cc.intToString(parameters->getNumClasses()) + "+" +
                                  prefix + "class2]";
    names["TABLE"] = prefix + "table";
    names["INVERSE_WIDTH"] = cc.doubleToString(parameters->getInverseWidth());
    names["SQUARED_CUTOFF"] = cc.doubleToString(force.getCutoffDistance() * force.getCutoffDistance());
    names["LAST_INTERVAL"] = cc.intToString(parameters->getNumIntervals() - 1);
    const string source = cc.replaceStrings(KernelSources::pairInteraction, names);

    vector<vector<int> > exclusions(force.getNumParticles());
    for (int i = 0; i < force.getNumParticles(); i++)
        exclusions[i].push_back(i);
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int i, j;
        force.getExclusionParticles(index, i, j);
        exclusions[i].push_back(j);
        exclusions[j].push_back(i);
    }
    NonbondedUtilities& nb = cc.getNonbondedUtilities();
    try {
        // Always by the neighbour list, and never by a list of single pairs: derivatives walk through its tiles.
        nb.addInteraction(true, usesPeriodic, usesExclusions, longestCutoff(system, force), exclusions, source, forceGroup,
                          true, false);
    } catch (const OpenMMException& error) {
        throw OpenMMException("LearnablePairForce: OpenMM's kernel for all nonbonded forces of a System cannot take this "
                              "one, with a cutoff of " + to_string(force.getCutoffDistance()) + " nm in force group " +
                              to_string(forceGroup) + ": " + error.what() + ". Give the forces equal exclusions, equal "
                              "cutoffs in each force group, or it the shortest (setForceGroup() sets them apart), and all a cutoff, periodic "
                              "or not, or use the CPU platform.");
    }
    if (!oneClass) {
        nb.addParameter(ComputeParameterInfo(parameters->getClasses(), prefix + "class", "int", 1));
        nb.addArgument(ComputeParameterInfo(parameters->getRows(), prefix + "rows", "int", 1));
    }
    nb.addArgument(ComputeParameterInfo(parameters->getTable(), prefix + "table",
                                        cc.getUseDoublePrecision() ? "double" : "float", 4));
}

double CommonCalcLearnablePairForceKernel::execute(ContextImpl&, bool, bool) { return 0; }

void CommonCalcLearnablePairForceKernel::copyParametersToContext(ContextImpl&, const LearnablePairForce& force) {
    ContextSelector selector(cc);
    if (parameters->update(force))
        cc.invalidateMolecules(info);
}

void CommonCalcLearnablePairForceKernel::prepareList(ContextImpl& context) {
    // Asked for neither forces nor energy, OpenMM updates its list and enlarges it where need be, and computes nothing.
    context.calcForcesAndEnergy(false, false, 1 << forceGroup);
    context.getLastForceGroups() = 0;   // no forces are left for an integrator to find
}

CommonPairPass& CommonCalcLearnablePairForceKernel::getPass(CommonPairPass::Kind kind) {
    if (!passes[kind])
        passes[kind].reset(new CommonPairPass(cc, *parameters, kind, usesPeriodic, usesExclusions));
    return *passes[kind];
}

void CommonCalcLearnablePairForceKernel::computeCoefficientDerivatives(ContextImpl& context,
                                                                       vector<double>& derivatives) {
    prepareList(context);
    ContextSelector selector(cc);
    CommonPairPass& pass = getPass(CommonPairPass::Coefficients);
    pass.run();
    pass.downloadSums(1, derivatives);
}

void CommonCalcLearnablePairForceKernel::computeHessianVectorProduct(ContextImpl& context, const vector<Vec3>& lambda,
                                                                     vector<Vec3>& product,
                                                                     vector<double>& parameterProduct, bool) {
    product.assign(lambda.size(), Vec3());
    parameterProduct.assign(parameters->getNumSums(), 0.0);
    double largest = 0;
    for (const Vec3& v : lambda)
        largest = max({largest, abs(v[0]), abs(v[1]), abs(v[2])});
    if (largest == 0)
        return;
    prepareList(context);
    ContextSelector selector(cc);
    // A direction of unit length fits into numbers of single precision and into integers, however long lambda is.
    if (cc.getUseDoublePrecision())
        uploadDirection<mm_double4, double>(lambda, largest);
    else
        uploadDirection<mm_float4, float>(lambda, largest);
    CommonPairPass& pass = getPass(CommonPairPass::Product);
    pass.run(&direction);
    pass.downloadProduct(largest, product);
    pass.downloadSums(largest * parameters->getInverseWidth(), parameterProduct);
}

template <class Real4, class Real>
void CommonCalcLearnablePairForceKernel::uploadDirection(const vector<Vec3>& lambda, double scale) {
    if (!direction.isInitialized())
        direction.initialize<Real4>(cc, cc.getPaddedNumAtoms(), "learnablePairDirection");
    const vector<int>& order = cc.getAtomIndex();
    vector<Real4> values(cc.getPaddedNumAtoms(), Real4(0, 0, 0, 0));
    for (int i = 0; i < cc.getNumAtoms(); i++) {
        const Vec3& v = lambda[order[i]];
        values[i] = Real4(static_cast<Real>(v[0] / scale), static_cast<Real>(v[1] / scale),
                          static_cast<Real>(v[2] / scale), 0);
    }
    direction.upload(values);
}

void CommonCalcLearnablePairForceKernel::computeVirial(ContextImpl& context, vector<double>& virial,
                                                       vector<double>& traceDerivatives) {
    prepareList(context);
    ContextSelector selector(cc);
    CommonPairPass& pass = getPass(CommonPairPass::Virial);
    pass.run();
    double w[6];
    pass.downloadVirial(w);
    virial = {w[0], w[1], w[2], w[1], w[3], w[4], w[2], w[4], w[5]};
    pass.downloadSums(parameters->getCutoff() * parameters->getInverseWidth(), traceDerivatives);
}

} // namespace OpenMMGrad
