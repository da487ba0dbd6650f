// SPDX-License-Identifier: MIT
#include "TrajectorySweep.h"
#include "internal/Dual.h"
#include "openmm/CMMotionRemover.h"
#include "openmm/CustomIntegrator.h"
#include "openmm/Integrator.h"
#include "openmm/State.h"
#include "openmm/System.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

typedef vector<Vec3> Vectors;

/** Into vectors that are used again: new memory for large ones costs as much as filling them. */
const Vectors& load(const double* values, int n, Vectors& vectors) {
    vectors.resize(n);
    for (int i = 0; i < n; i++)
        vectors[i] = Vec3(values[3 * i], values[3 * i + 1], values[3 * i + 2]);
    return vectors;
}

Vectors load(const double* values, int n) {
    Vectors vectors;
    load(values, n, vectors);
    return vectors;
}

void store(const Vectors& vectors, double* values) {
    for (size_t i = 0; i < vectors.size(); i++)
        for (int k = 0; k < 3; k++)
            values[3 * i + k] = vectors[i][k];
}

string momentumName(int k) { return "p" + to_string(k + 1); }

vector<double> massesOf(const System& system) {
    vector<double> masses;
    for (int i = 0; i < system.getNumParticles(); i++)
        masses.push_back(system.getParticleMass(i));
    return masses;
}

vector<int> removalsOf(const System& system) {
    vector<int> frequencies;
    for (int k = 0; k < system.getNumForces(); k++)
        if (const auto* remover = dynamic_cast<const CMMotionRemover*>(&system.getForce(k)))
            frequencies.push_back(remover->getFrequency());
    return frequencies;
}

} // namespace

TrajectorySweep::TrajectorySweep(ForceDerivatives& derivatives, Scheme scheme, double friction)
    : derivatives(derivatives), context(derivatives.getContext()), scheme(scheme),
      timestep(context.getIntegrator().getStepSize()), totalMass(0),
      linear(scheme == LangevinMiddle ? LinearStep::langevinMiddle(timestep, friction) : LinearStep::verlet(timestep)),
      constraints(context.getSystem()), removalFrequencies(removalsOf(context.getSystem())),
      masses(massesOf(context.getSystem())), device(derivatives, linear, masses, removalFrequencies) {
    for (double mass : masses) {
        inverseMasses.push_back(mass > 0 ? 1 / mass : 0);
        totalMass += mass;
    }
}

void TrajectorySweep::setControlValues(const double* values) {
    for (size_t c = 0; c < controls.size(); c++)
        context.setParameter(derivatives.getParameterName(controls[c]), values[c]);
}

void TrajectorySweep::start(const double* positions, double* velocities, const double* controlValues) {
    if (scheme == NoseHoover)
        return;
    const int n = getNumParticles();
    derivatives.setPositions(load(positions, n));
    setControlValues(controlValues);
    const State state = context.getState(State::Forces);
    Vectors v = load(velocities, n);
    for (int i = 0; i < n; i++)
        v[i] = inverseMasses[i] > 0 ? v[i] - state.getForces()[i] * (0.5 * timestep * inverseMasses[i]) : Vec3();
    derivatives.getVirtualSites().extend(v);
    store(v, velocities);
}

long long TrajectorySweep::run(int firstStep, int numSteps, const double* controlValues, const int* wanted,
                               double* positions, double* velocities, double* momenta, const int* shown, bool hold) {
    const int n = getNumParticles(), size = 3 * n, links = getNumChainMomenta();
    Integrator& integrator = context.getIntegrator();
    auto* custom = dynamic_cast<CustomIntegrator*>(&integrator);
    Vectors v = load(velocities, n);
    derivatives.getVirtualSites().clear(v);
    derivatives.setPositions(load(positions, n));
    context.setVelocities(v);
    context.setTime(firstStep * timestep);
    context.setStepCount(firstStep);
    for (int k = 0; k < links; k++)
        custom->setGlobalVariableByName(momentumName(k), momenta[k]);
    if (RunTrajectorySweepKernel* kernel = getKernel())
        return runOnDevice(*kernel, numSteps, controlValues, wanted, positions, velocities, shown, hold);
    for (int step = 0; step < numSteps; step++) {
        setControlValues(controlValues + step * controls.size());
        integrator.step(1);
        const State state = context.getState(State::Positions | (wanted[step + 1] ? State::Velocities : 0));
        store(state.getPositions(), positions + (step + 1) * static_cast<size_t>(size));
        if (wanted[step + 1]) {
            v = state.getVelocities();
            derivatives.getVirtualSites().extend(v);
            store(v, velocities + (step + 1) * static_cast<size_t>(size));
        }
        for (int k = 0; k < links; k++)
            momenta[(step + 1) * links + k] = custom->getGlobalVariableByName(momentumName(k));
    }
    return -1;
}

long long TrajectorySweep::runOnDevice(RunTrajectorySweepKernel& kernel, int numSteps, const double* controlValues,
                                       const int* wanted, double* positions, double* velocities, const int* shown,
                                       bool hold) {
    const int n = getNumParticles();
    const vector<int> all(numSteps + 1, 1);
    const auto advance = [&](int step) {
        setControlValues(controlValues + step * controls.size());
        context.getIntegrator().step(1);
    };
    const long long history = kernel.run(device.getContextImpl(), numSteps, shown == nullptr ? all.data() : shown, wanted,
                                         hold, advance, positions, velocities);
    Vectors v;
    if (!derivatives.getVirtualSites().empty())
        for (int state = 1; state <= numSteps; state++)
            if (wanted[state]) {
                load(velocities + state * static_cast<size_t>(3 * n), n, v);
                derivatives.getVirtualSites().extend(v);
                store(v, velocities + state * static_cast<size_t>(3 * n));
            }
    return history;
}

void TrajectorySweep::addScaled(const Vectors& cotangent, double factor, Vectors& direction) const {
    for (size_t i = 0; i < direction.size(); i++)
        direction[i] += cotangent[i] * (factor * inverseMasses[i]);
}

void TrajectorySweep::recoverForces(const double* before, const double* at, const double* after, bool removes) {
    const size_t n = masses.size();
    known.resize(n);
    Vec3 momentum;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 3; k++) {
            const double moved = at[3 * i + k] - before[3 * i + k], moves = after[3 * i + k] - at[3 * i + k];
            known[i][k] = masses[i] * (moves - moved) / (timestep * timestep);
            momentum[k] += masses[i] * moved / timestep;
        }
    if (removes)
        for (size_t i = 0; i < n; i++)
            known[i] += momentum * (masses[i] / (totalMass * timestep));
}

void TrajectorySweep::addKick(const Vectors& positions, const Vectors& direction, Vectors& gx, double* gControls,
                              const Vectors* forces, int side) {
    derivatives.compute(positions, direction, product, coefficients, parameterProducts, forces, side);
    for (size_t i = 0; i < gx.size(); i++)
        gx[i] += product[i];
    addParameterProducts(parameterProducts.data(), parameterSums.data(), gControls);
}

void TrajectorySweep::addParameterProducts(const double* products, double* sums, double* gControls) const {
    for (int p = 0; p < derivatives.getNumParameters(); p++) {
        const auto control = find(controls.begin(), controls.end(), p);
        if (control == controls.end())
            sums[p] += products[p];
        else
            gControls[control - controls.begin()] += products[p];
    }
}

void TrajectorySweep::addCotangent(int row, const double* given, Vectors& cotangent) const {
    if (row < 0)
        return;
    const double* added = given + row * 3 * cotangent.size();
    for (size_t i = 0; i < cotangent.size(); i++)
        cotangent[i] += Vec3(added[3 * i], added[3 * i + 1], added[3 * i + 2]);
    derivatives.getVirtualSites().pullBack(cotangent);
}

void TrajectorySweep::pullBackConstraints(const Vectors& before, const Vectors& velocities, const Vectors& after,
                                          bool removes, Vectors& gx, Vectors& gv) {
    // From cotangents of x' and v' = (x' - x)/dt to those of an unconstrained step that ends in the same place: of
    // y = x + dt u and u = v + dt F/m, where gy = h and gu = 0. What reaches x otherwise is returned through gx after it
    // has been split: gx = h for y, and the rest is held in heldForBefore until the kick is done.
    const size_t n = before.size();
    Vectors v = velocities, free = before, g(n);
    derivatives.setPositions(before);
    known = context.getState(State::Forces).getForces();
    if (removes)
        removeMotion(v);
    heldForBefore.assign(n, Vec3());
    for (size_t i = 0; i < n; i++) {
        free[i] += (v[i] + known[i] * (timestep * inverseMasses[i])) * timestep;
        g[i] = gx[i] + gv[i] / timestep;
        heldForBefore[i] -= gv[i] / timestep;
    }
    constraints.pullBack(before, free, after, g, heldForBefore);
    gx = g;
    gv.assign(n, Vec3());
}

bool TrajectorySweep::removesMotion(int step) const {
    return any_of(removalFrequencies.begin(), removalFrequencies.end(),
                  [step](int frequency) { return step % frequency == 0; });
}

void TrajectorySweep::removeMotion(Vectors& velocities) const {
    Vec3 momentum;
    for (size_t i = 0; i < velocities.size(); i++)
        momentum += velocities[i] * masses[i];
    for (size_t i = 0; i < velocities.size(); i++)
        if (masses[i] > 0)
            velocities[i] -= momentum / totalMass;
}

void TrajectorySweep::pullBackMotionRemoval(Vectors& gv) const {
    Vec3 sum;
    for (size_t i = 0; i < gv.size(); i++)
        if (masses[i] > 0)
            sum += gv[i];
    for (size_t i = 0; i < gv.size(); i++)
        gv[i] -= sum * (masses[i] / totalMass);
}

void TrajectorySweep::reverse(int firstStep, int numSteps, const double* controlValues, const double* positions,
                              const double* velocities, const double* momenta, const int* positionRows,
                              const int* velocityRows, const double* gPositions, const double* gVelocities, double* gxOut,
                              double* gvOut, double* gMomentaOut, double* gCoefficients, double* gParameters,
                              double* gControls, long long history, int firstState) {
    if (getKernel() != nullptr) {
        vector<double> onParents[2];
        if (!derivatives.getVirtualSites().empty()) {
            gPositions = pullBackRows(gPositions, positionRows, numSteps, onParents[0]);
            gVelocities = pullBackRows(gVelocities, velocityRows, numSteps, onParents[1]);
        }
        addWindow(positions, gPositions, gVelocities, gxOut, gvOut, history, firstState);
        reverseOnDevice(firstStep, numSteps, controlValues, positionRows, velocityRows, gCoefficients, gParameters,
                        gControls);
        return;
    }
    const int n = getNumParticles(), links = getNumChainMomenta();
    const size_t size = 3 * n;
    Vectors gx = load(gxOut, n), gv = load(gvOut, n), direction(n), x, v;
    vector<double> gMomenta(gMomentaOut, gMomentaOut + links);
    coefficients.assign(derivatives.getNumCoefficients(), 0.0);
    parameterSums.assign(derivatives.getNumParameters(), 0.0);
    const auto momentaAt = [&](int step) {
        return vector<double>(momenta + step * links, momenta + (step + 1) * links);
    };
    // The end of a Nose-Hoover step: its second half chain and second half kick, whose direction is added to that of the
    // next step's first half kick, so that the two at one position share their product.
    const auto endOfStep = [&](int step) {
        load(velocities + step * size, n, v);
        vector<double> p = momentaAt(step);
        halfChain(-timestep / 2, v, p);
        pullBackHalfChain(v, p, gv, gMomenta);
        addScaled(gv, 0.5 * timestep, direction);
    };
    addCotangent(positionRows[numSteps], gPositions, gx);
    addCotangent(velocityRows[numSteps], gVelocities, gv);
    if (scheme == NoseHoover) {
        endOfStep(numSteps);
        addKick(load(positions + numSteps * size, n, x), direction, gx, gControls);
    }
    for (int step = numSteps - 1; step >= 0; step--) {
        const bool removes = removesMotion(firstStep + step);
        setControlValues(controlValues + step * controls.size());
        if (!constraints.empty())
            pullBackConstraints(load(positions + step * size, n), load(velocities + step * size, n),
                                load(positions + (step + 1) * size, n), removes, gx, gv);
        const double half = 0.5 * timestep, kick = scheme == NoseHoover ? half : linear.kick;
        for (int i = 0; i < n; i++) {
            gv[i] = gv[i] * linear.keep + gx[i] * linear.gain;
            if (inverseMasses[i] == 0)
                gv[i] = Vec3();
            direction[i] = gv[i] * (kick * inverseMasses[i]);
        }
        if (scheme == NoseHoover) {
            load(velocities + step * size, n, v);
            if (removes)
                removeMotion(v);
            pullBackHalfChain(v, momentaAt(step), gv, gMomenta);
        }
        if (removes)
            pullBackMotionRemoval(gv);
        addCotangent(velocityRows[step], gVelocities, gv);
        if (scheme == NoseHoover && step > 0)
            endOfStep(step);
        else if (scheme != NoseHoover && firstStep + step == 0)
            addScaled(gv, -half, direction);
        const double* at = positions + step * size;
        load(at, n, x);
        const bool startsFromForces = derivatives.usesForces() && scheme == Verlet;
        if (startsFromForces && constraints.empty()) {
            if (step > 0)
                recoverForces(at - size, at, at + size, removes);
            else { // evaluated, so that sides go on alternating where pieces of a trajectory meet
                derivatives.setPositions(x);
                known = context.getState(State::Forces).getForces();
            }
        }
        addKick(x, direction, gx, gControls + step * controls.size(), startsFromForces ? &known : nullptr,
                (firstStep + step) % 2 == 0 ? 1 : -1);
        addCotangent(positionRows[step], gPositions, gx);
        if (!constraints.empty())
            for (int i = 0; i < n; i++)
                gx[i] += heldForBefore[i];
    }
    store(gx, gxOut);
    store(gv, gvOut);
    copy(gMomenta.begin(), gMomenta.end(), gMomentaOut);
    transform(coefficients.begin(), coefficients.end(), gCoefficients, gCoefficients, plus<double>());
    transform(parameterSums.begin(), parameterSums.end(), gParameters, gParameters, plus<double>());
}

void TrajectorySweep::reverseOnDevice(int firstStep, int numSteps, const double* controlValues, const int* positionRows,
                                      const int* velocityRows, double* gCoefficients, double* gParameters,
                                      double* gControls) {
    const size_t numParameters = derivatives.getNumParameters();
    vector<double> products(numSteps * numParameters);
    const auto prepare = [&](int step) { setControlValues(controlValues + step * controls.size()); };
    device.reverse(firstStep, numSteps, positionRows, velocityRows, prepare, gCoefficients, products.data());
    for (int step = 0; step < numSteps; step++)
        addParameterProducts(&products[step * numParameters], gParameters, gControls + step * controls.size());
}

const double* TrajectorySweep::pullBackRows(const double* given, const int* rows, int numSteps,
                                            vector<double>& onParents) const {
    const int n = getNumParticles(), count = *max_element(rows, rows + numSteps + 1) + 1;
    onParents.resize(max(1, 3 * n * count));
    Vectors cotangent;
    for (int row = 0; row < count; row++) {
        load(given + static_cast<size_t>(3 * n) * row, n, cotangent);
        derivatives.getVirtualSites().pullBack(cotangent);
        store(cotangent, &onParents[static_cast<size_t>(3 * n) * row]);
    }
    return onParents.data();
}

void TrajectorySweep::reverseTogether(int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                                      double* gCoefficients) {
    device.reverse(firstStep, numSteps, positionRows, velocityRows, [](int) {}, gCoefficients, nullptr);
}

void TrajectorySweep::halfChain(double time, Vectors& velocities, vector<double>& momenta) const {
    double kinetic = 0;
    for (size_t i = 0; i < velocities.size(); i++)
        kinetic += 0.5 * masses[i] * velocities[i].dot(velocities[i]);
    const double scale = chain.halfStep(time, kinetic, momenta);
    for (Vec3& v : velocities)
        v *= scale;
}

void TrajectorySweep::pullBackHalfChain(const Vectors& velocities, const vector<double>& momenta, Vectors& gv,
                                        vector<double>& gMomenta) const {
    const int links = momenta.size();
    double kinetic = 0, gScale = 0;
    for (size_t i = 0; i < velocities.size(); i++) {
        kinetic += 0.5 * masses[i] * velocities[i].dot(velocities[i]);
        gScale += gv[i].dot(velocities[i]);
    }
    Dual energy = Dual::variable(kinetic, 0, links + 1);
    vector<Dual> p;
    for (int k = 0; k < links; k++)
        p.push_back(Dual::variable(momenta[k], k + 1, links + 1));
    const Dual scale = chain.halfStep(timestep / 2, energy, p);
    vector<double> gIn(links + 1);
    for (int j = 0; j <= links; j++) {
        gIn[j] = gScale * scale.derivatives[j];
        for (int k = 0; k < links; k++)
            gIn[j] += gMomenta[k] * p[k].derivatives[j];
    }
    for (size_t i = 0; i < gv.size(); i++)
        gv[i] = gv[i] * scale.value + velocities[i] * (gIn[0] * masses[i]);
    copy(gIn.begin() + 1, gIn.end(), gMomenta.begin());
}

} // namespace OpenMMGrad
