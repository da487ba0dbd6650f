// SPDX-License-Identifier: MIT
#include "ForceDerivatives.h"
#include "openmm/CMMotionRemover.h"
#include "openmm/System.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

double dot(const vector<Vec3>& a, const vector<Vec3>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); i++)
        sum += a[i].dot(b[i]);
    return sum;
}

double longest(const vector<Vec3>& vectors) {
    double square = 0;
    for (const Vec3& v : vectors)
        square = max(square, v.dot(v));
    return sqrt(square);
}

} // namespace

ForceDerivatives::ForceDerivatives(Context& context)
    : context(context), sites(context.getSystem()), anyAnalytic(false), alternates(false), otherGroups(0),
      oneSidedGroups(0) {}

void ForceDerivatives::addPairForce(const LearnablePairForce& force) { pairForces.push_back(&force); }

void ForceDerivatives::addForceProduct(const ForceProduct& product) { products.push_back(product); }

void ForceDerivatives::addDifferences(int groups, double displacement) {
    differences.push_back({groups, displacement});
}

void ForceDerivatives::addOneSidedDifferences(int groups, double displacement, bool alternates) {
    addDifferences(groups, displacement);
    this->alternates = alternates;
    oneSidedGroups = groups;
    const System& system = context.getSystem();
    for (int k = 0; k < system.getNumForces(); k++)
        if (dynamic_cast<const CMMotionRemover*>(&system.getForce(k)) == nullptr)
            otherGroups |= 1 << system.getForce(k).getForceGroup();
    otherGroups &= ~groups;
}

int ForceDerivatives::addParameter(const string& name, int groups, double step) {
    parameters.push_back({name, groups, step});
    anyAnalytic |= step == 0;
    return parameters.size() - 1;
}

int ForceDerivatives::getNumCoefficients() const {
    int count = 0;
    for (const LearnablePairForce* force : pairForces)
        count += force->getNumTypePairs() * force->getNumCoefficients();
    return count;
}

void ForceDerivatives::setPositions(const vector<Vec3>& positions) {
    context.setPositions(positions);
    if (!sites.empty())
        context.computeVirtualSites();
}

void ForceDerivatives::compute(const vector<Vec3>& positions, const vector<Vec3>& direction, vector<Vec3>& product,
                               vector<double>& coefficients, vector<double>& parameterProducts,
                               const vector<Vec3>* forces, int side) {
    product.assign(positions.size(), Vec3());
    parameterProducts.assign(parameters.size(), 0.0);
    if (longest(direction) == 0)
        return;
    addClosedForms(positions, direction, product, coefficients);
    const int oneSided = forces == nullptr ? 0 : oneSidedGroups;
    if (oneSided != 0)
        findKnownForces(positions, *forces);
    if (!alternates)
        side = 1;
    for (size_t p = 0; p < parameters.size(); p++)
        if (parameters[p].step > 0)
            parameterProducts[p] =
                differenceParameter(parameters[p], direction, parameters[p].groups == oneSided ? side : 0);
    for (const Differences& part : differences)
        difference(part, positions, direction, product, parameterProducts, part.groups == oneSided ? side : 0);
    sites.clear(product);
}

void ForceDerivatives::findKnownForces(const vector<Vec3>& positions, const vector<Vec3>& forces) {
    known = forces;
    if (otherGroups == 0)
        return;
    setPositions(positions);
    const State state = context.getState(State::Forces, false, otherGroups);
    for (size_t i = 0; i < known.size(); i++)
        known[i] -= state.getForces()[i];
}

void ForceDerivatives::addClosedForms(const vector<Vec3>& positions, const vector<Vec3>& direction,
                                      vector<Vec3>& product, vector<double>& coefficients) {
    const bool differenced = any_of(parameters.begin(), parameters.end(), [](const Parameter& p) { return p.step > 0; });
    if (pairForces.empty() && products.empty() && !differenced)
        return;
    setPositions(positions);
    extended = direction;
    sites.extend(extended);
    size_t first = 0;
    vector<double> ofForce;
    for (const LearnablePairForce* force : pairForces) {
        force->computeHessianVectorProduct(context, extended, share, ofForce, true);
        for (size_t i = 0; i < share.size(); i++)
            product[i] += share[i];
        for (size_t k = 0; k < ofForce.size(); k++)
            coefficients[first + k] += ofForce[k];
        first += ofForce.size();
    }
    for (const ForceProduct& add : products)
        add(positions, extended, product);
    sites.pullBack(product);
}

double ForceDerivatives::projectForces(const Parameter& parameter, int steps, const vector<Vec3>& direction) {
    const double value = context.getParameter(parameter.name);
    context.setParameter(parameter.name, value + steps * parameter.step);
    const State state = context.getState(State::Forces, false, parameter.groups);
    context.setParameter(parameter.name, value);
    return dot(direction, state.getForces());
}

double ForceDerivatives::differenceParameter(const Parameter& parameter, const vector<Vec3>& direction, int side) {
    if (side != 0)
        return (projectForces(parameter, side, direction) - dot(direction, known)) / (side * parameter.step);
    return (projectForces(parameter, 1, direction) - projectForces(parameter, -1, direction)) / (2 * parameter.step);
}

State ForceDerivatives::evaluate(const vector<Vec3>& positions, const vector<Vec3>& direction, double distance,
                                 int groups, int wanted) {
    shifted.resize(positions.size());
    for (size_t i = 0; i < positions.size(); i++)
        shifted[i] = positions[i] + direction[i] * distance;
    setPositions(shifted);
    return context.getState(wanted, false, groups);
}

void ForceDerivatives::difference(const Differences& part, const vector<Vec3>& positions,
                                  const vector<Vec3>& direction, vector<Vec3>& product,
                                  vector<double>& parameterProducts, int side) {
    const double h = part.displacement / longest(direction);
    if (side != 0) {
        const State state = evaluate(positions, direction, side * h, part.groups, State::Forces);
        for (size_t i = 0; i < positions.size(); i++)
            product[i] += (state.getForces()[i] - known[i]) * (side / h);
        return;
    }
    const int wanted = State::Forces | (anyAnalytic ? State::ParameterDerivatives : 0);
    for (int sign : {1, -1}) {
        const State state = evaluate(positions, direction, sign * h, part.groups, wanted);
        const vector<Vec3>& forces = state.getForces();
        for (size_t i = 0; i < positions.size(); i++)
            product[i] += forces[i] * (sign / (2 * h));
        if (anyAnalytic) {
            const map<string, double>& energies = state.getEnergyParameterDerivatives();
            for (size_t p = 0; p < parameters.size(); p++)
                if (parameters[p].step == 0)
                    parameterProducts[p] -= sign * energies.at(parameters[p].name) / (2 * h);
        }
    }
}

} // namespace OpenMMGrad
