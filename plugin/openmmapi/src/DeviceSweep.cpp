// SPDX-License-Identifier: MIT
#include "DeviceSweep.h"
#include "openmm/Force.h"
#include "openmm/State.h"
#include "openmm/System.h"
#include <typeinfo>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

const size_t DefaultMemory = size_t(1) << 30;

/** A Context shows its ContextImpl to Forces only. */
class Access : public Force {
public:
    ContextImpl& operator()(Context& context) const { return getContextImpl(context); }

protected:
    ForceImpl* createImpl() const { return nullptr; }
};

} // namespace

DeviceSweep::DeviceSweep(ForceDerivatives& derivatives, const LinearStep& step, const vector<double>& masses,
                         const vector<int>& removalFrequencies)
    : derivatives(derivatives), step(step), masses(masses), removalFrequencies(removalFrequencies), enabled(true),
      tried(false), hasKernel(false), memory(DefaultMemory) {}

ContextImpl& DeviceSweep::getContextImpl() { return Access()(derivatives.getContext()); }

bool DeviceSweep::isWithinReach() const {
    const System& system = derivatives.getContext().getSystem();
    if (system.getNumConstraints() > 0 || derivatives.hasForceProducts() || derivatives.usesForces())
        return false;
    if (!derivatives.getVirtualSites().empty() && !derivatives.getPairForces().empty())
        return false;
    for (int p = 0; p < derivatives.getNumParameters(); p++)
        if (derivatives.getParameters()[p].step == 0)
            for (int k = 0; k < system.getNumForces(); k++) {
                const string kind = typeid(system.getForce(k)).name();
                if (kind.find("CustomCVForce") != string::npos || kind.find("ATMForce") != string::npos)
                    return false;
            }
    return true;
}

SweepSystem DeviceSweep::describe() const {
    SweepSystem system = {step, masses, removalFrequencies, derivatives.getPairForces(), {}, {},
                          !derivatives.getVirtualSites().empty()};
    for (const auto& part : derivatives.getDifferences())
        system.differences.push_back({part.groups, part.displacement});
    for (const auto& parameter : derivatives.getParameters())
        system.parameters.push_back({parameter.name, parameter.groups, parameter.step});
    return system;
}

RunTrajectorySweepKernel* DeviceSweep::get() {
    if (!enabled)
        return nullptr;
    if (tried && !hasKernel)
        return nullptr;
    if (hasKernel && kernel.getAs<RunTrajectorySweepKernel>().isAlive())
        return &kernel.getAs<RunTrajectorySweepKernel>();
    tried = true;
    hasKernel = false;
    Platform& platform = derivatives.getContext().getPlatform();
    if (!platform.supportsKernels({RunTrajectorySweepKernel::Name()}) || !isWithinReach())
        return nullptr;
    kernel = platform.createKernel(RunTrajectorySweepKernel::Name(), getContextImpl());
    hasKernel = kernel.getAs<RunTrajectorySweepKernel>().initialize(getContextImpl(), describe(), memory);
    return hasKernel ? &kernel.getAs<RunTrajectorySweepKernel>() : nullptr;
}

void DeviceSweep::add(const SweepWindow& window) {
    windows.push_back(window);
    Vec3* box = windows.back().box;
    derivatives.getContext().getState(0).getPeriodicBoxVectors(box[0], box[1], box[2]);
}

void DeviceSweep::reverse(int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                          const function<void(int)>& prepare, double* coefficients, double* parameterProducts) {
    vector<SweepWindow> swept;
    swept.swap(windows);
    get()->reverse(getContextImpl(), firstStep, numSteps, positionRows, velocityRows, swept, prepare, coefficients,
                   parameterProducts);
}

} // namespace OpenMMGrad
