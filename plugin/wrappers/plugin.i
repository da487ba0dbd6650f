// SPDX-License-Identifier: MIT
// openmmgrad.plugin: LearnablePairForce for Python. Arrays go in and out as numpy arrays; the methods whose names start
// with an underscore fill buffers and are called by the Python below only.
%module(docstring="The C++ force of OpenMM-Grad: `LearnablePairForce`. Units: nm, kJ/mol.", package="openmmgrad") plugin
%import(module="openmm") "openmm.i"

%{
#include "LearnablePairForce.h"
#include "openmm/Context.h"
#include "openmm/Force.h"
#include "openmm/Vec3.h"
#include <algorithm>
#include <set>
#include <vector>
%}

%include "errors.i"
%include "buffers.i"

%typemap(in) int {
    // Any integer, numpy's included.
    PyObject* index = PyNumber_Index($input);
    if (index == nullptr)
        SWIG_fail;
    const long value = PyLong_AsLong(index);
    Py_DECREF(index);
    if (PyErr_Occurred())
        SWIG_fail;
    $1 = static_cast<int>(value);
}

%pythoncode "conversions.py"

RELEASE_GIL(OpenMMGrad::LearnablePairForce::_updateParametersInContext)
RELEASE_GIL(OpenMMGrad::LearnablePairForce::_computeCoefficientDerivatives)
RELEASE_GIL(OpenMMGrad::LearnablePairForce::_computeHessianVectorProduct)
RELEASE_GIL(OpenMMGrad::LearnablePairForce::_computeVirial)

%newobject OpenMMGrad::LearnablePairForce::_copy;
%feature("docstring") OpenMMGrad::LearnablePairForce "
A pair potential u_ab(r) = sum_k c_ab,k B_k(r): uniform cubic B-splines on [0, cutoff], K coefficients (kJ/mol) per
unordered pair of types. The last three coefficients are zero: u, u' and u'' vanish at the cutoff.

Parameters: numTypes (at least 1), cutoff (nm, or a Quantity), numCoefficients K (at least 7).
Add it to a System before creating the Context. Wrong arguments raise openmm.OpenMMException; arrays of a wrong shape
ValueError. P = numTypes*(numTypes+1)/2 pairs of types, ordered (0,0), (0,1), .., (1,1), ..
";
%pythonprepend OpenMMGrad::LearnablePairForce::LearnablePairForce %{
        cutoff = _plain(cutoff, _unit.nanometer)
%}
%pythonprepend OpenMMGrad::LearnablePairForce::setCutoffDistance %{
        distance = _plain(distance, _unit.nanometer)
%}

namespace OpenMMGrad {

class LearnablePairForce : public OpenMM::Force {
public:
    enum NonbondedMethod { CutoffNonPeriodic = 0, CutoffPeriodic = 1 };
    LearnablePairForce(int numTypes, double cutoff, int numCoefficients);

    %feature("docstring", "The number of particles added so far.") getNumParticles;
    int getNumParticles() const;
    %feature("docstring", "The number of particle types.") getNumTypes;
    int getNumTypes() const;
    %feature("docstring", "P = numTypes*(numTypes+1)/2, the number of unordered pairs of types.") getNumTypePairs;
    int getNumTypePairs() const;
    %feature("docstring", "K, the length of each vector of coefficients.") getNumCoefficients;
    int getNumCoefficients() const;
    %feature("docstring", "The number of excluded pairs.") getNumExclusions;
    int getNumExclusions() const;
    %feature("docstring", "The number of interaction groups; without groups all pairs interact.") getNumInteractionGroups;
    int getNumInteractionGroups() const;
    %feature("docstring", "CutoffNonPeriodic (0) or CutoffPeriodic (1, the default).") getNonbondedMethod;
    int getNonbondedMethod() const;
    %feature("docstring", "Set CutoffNonPeriodic or CutoffPeriodic.") setNonbondedMethod;
    %extend {
        void setNonbondedMethod(int method) {
            $self->setNonbondedMethod(static_cast<OpenMMGrad::LearnablePairForce::NonbondedMethod>(method));
        }
    }
    %feature("docstring", "The cutoff distance in nm, as a plain number.") getCutoffDistance;
    double getCutoffDistance() const;
    %feature("docstring", "Set the cutoff distance (nm, or a Quantity).") setCutoffDistance;
    void setCutoffDistance(double distance);
    %feature("docstring", "Whether forces without the energy, as in dynamics, are in double precision on the CPU platform.")
        getUseDoublePrecision;
    bool getUseDoublePrecision() const;
    %feature("docstring", "
Set whether forces asked for without the energy, as in dynamics, are in double precision on the CPU platform (False by
default). All else there always is; other platforms ignore it.") setUseDoublePrecision;
    void setUseDoublePrecision(bool use);
    %feature("docstring", "The row of an unordered pair of types in arrays of shape [P, K].") getTypePairIndex;
    int getTypePairIndex(int type1, int type2) const;
    %feature("docstring", "Add a particle of a type; once for every particle of the System, in order.") addParticle;
    int addParticle(int type);
    %feature("docstring", "The type of a particle.") getParticleType;
    int getParticleType(int index) const;
    %feature("docstring", "Set the type of a particle; see updateParametersInContext().") setParticleType;
    void setParticleType(int index, int type);
    %feature("docstring", "Leave out the interaction of two particles; returns the exclusion's index.") addExclusion;
    int addExclusion(int particle1, int particle2);
    %feature("docstring", "Change the particles of an exclusion.") setExclusionParticles;
    void setExclusionParticles(int index, int particle1, int particle2);

    %extend {
        void _getCoefficients(int type1, int type2, double* values, int count) {
            std::vector<double> coefficients;
            $self->getCoefficients(type1, type2, coefficients);
            std::copy_n(coefficients.begin(), std::min<size_t>(count, coefficients.size()), values);
        }
        void _setCoefficients(int type1, int type2, const double* values, int count) {
            $self->setCoefficients(type1, type2, std::vector<double>(values, values + count));
        }
        void _addParticles(const int* values, int count) {
            for (int i = 0; i < count; i++)
                $self->addParticle(values[i]);
        }
        void _getParticleTypes(int* values, int count) {
            for (int i = 0; i < count; i++)
                values[i] = $self->getParticleType(i);
        }
        void _getExclusion(int index, int* values, int count) {
            $self->getExclusionParticles(index, values[0], values[1]);
        }
        void _createExclusionsFromBonds(const int* values, int count, int bondCutoff) {
            std::vector<std::pair<int, int> > bonds;
            for (int i = 0; i + 1 < count; i += 2)
                bonds.emplace_back(values[i], values[i + 1]);
            $self->createExclusionsFromBonds(bonds, bondCutoff);
        }
        int _addInteractionGroup(const int* values, int count, const int* set2, int count2) {
            return $self->addInteractionGroup(std::set<int>(values, values + count), std::set<int>(set2, set2 + count2));
        }
        void _setInteractionGroup(int index, const int* values, int count, const int* set2, int count2) {
            $self->setInteractionGroupParameters(index, std::set<int>(values, values + count),
                                                 std::set<int>(set2, set2 + count2));
        }
        PyObject* _getInteractionGroup(int index) {
            std::set<int> sets[2];
            $self->getInteractionGroupParameters(index, sets[0], sets[1]);
            PyObject* result = PyTuple_New(2);
            for (int s = 0; s < 2; s++) {
                PyObject* particles = PySet_New(nullptr);
                for (int i : sets[s]) {
                    PyObject* item = PyLong_FromLong(i);
                    PySet_Add(particles, item);
                    Py_DECREF(item);
                }
                PyTuple_SET_ITEM(result, s, particles);
            }
            return result;
        }
        void _updateParametersInContext(OpenMM::Context& context) { $self->updateParametersInContext(context); }
        void _computeCoefficientDerivatives(OpenMM::Context& context, double* values, int count) {
            std::vector<double> derivatives;
            $self->computeCoefficientDerivatives(context, derivatives);
            std::copy(derivatives.begin(), derivatives.end(), values);
        }
        void _computeHessianVectorProduct(OpenMM::Context& context, const double* lambda, int lambdaCount,
                                          double* product, int productCount, double* second, int secondCount,
                                          bool inPrecisionOfForces) {
            std::vector<OpenMM::Vec3> vectors(lambdaCount / 3), products;
            for (int i = 0; i < lambdaCount; i++)
                vectors[i / 3][i % 3] = lambda[i];
            std::vector<double> parameterProduct;
            $self->computeHessianVectorProduct(context, vectors, products, parameterProduct, inPrecisionOfForces);
            for (int i = 0; i < lambdaCount; i++)
                product[i] = products[i / 3][i % 3];
            std::copy(parameterProduct.begin(), parameterProduct.end(), second);
        }
        void _computeVirial(OpenMM::Context& context, double* values, int count, double* second, int secondCount) {
            std::vector<double> virial, traceDerivatives;
            $self->computeVirial(context, virial, traceDerivatives);
            std::copy(virial.begin(), virial.end(), values);
            std::copy(traceDerivatives.begin(), traceDerivatives.end(), second);
        }
        OpenMMGrad::LearnablePairForce* _copy() { return new OpenMMGrad::LearnablePairForce(*$self); }
        static OpenMMGrad::LearnablePairForce* _cast(OpenMM::Force* force) {
            return dynamic_cast<OpenMMGrad::LearnablePairForce*>(force);
        }
    }
    %extend {
        %pythoncode "methods.py"
    }
};

}

%include "std_string.i"
%include "sweep.i"
%include "recorder.i"
%include "analysis.i"
