// SPDX-License-Identifier: MIT
// ForceDerivatives and TrajectorySweep for openmmgrad.propagation: arrays in and out, Python's lock released meanwhile.
%{
#include "ForceDerivatives.h"
#include "TrajectorySweep.h"

namespace {

/** A Python callable product(positions, direction, result), all memoryviews of 3 N doubles; it adds to the result. */
class PythonProduct {
public:
    explicit PythonProduct(PyObject* function) : function(function) { Py_INCREF(function); }
    PythonProduct(const PythonProduct& other) : function(other.function) {
        PyGILState_STATE lock = PyGILState_Ensure();
        Py_INCREF(function);
        PyGILState_Release(lock);
    }
    PythonProduct& operator=(const PythonProduct&) = delete;
    ~PythonProduct() {
        PyGILState_STATE lock = PyGILState_Ensure();
        Py_DECREF(function);
        PyGILState_Release(lock);
    }
    void operator()(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& direction,
                    std::vector<OpenMM::Vec3>& product) const {
        PyGILState_STATE lock = PyGILState_Ensure();
        PyObject* result = PyObject_CallFunction(function, "NNN", view(positions), view(direction), view(product));
        std::string message;
        if (result == nullptr)
            message = takeError();
        Py_XDECREF(result);
        PyGILState_Release(lock);
        if (!message.empty())
            throw OpenMM::OpenMMException("TrajectorySweep: the product of a torch energy failed with " + message);
    }

private:
    static PyObject* view(const std::vector<OpenMM::Vec3>& vectors) {
        char* data = reinterpret_cast<char*>(const_cast<OpenMM::Vec3*>(vectors.data()));
        return PyMemoryView_FromMemory(data, vectors.size() * sizeof(OpenMM::Vec3), PyBUF_WRITE);
    }
    static std::string takeError() {
        PyObject *type, *value, *trace;
        PyErr_Fetch(&type, &value, &trace);
        PyErr_NormalizeException(&type, &value, &trace);
        PyObject* text = value == nullptr ? nullptr : PyObject_Repr(value);
        const char* utf8 = text == nullptr ? nullptr : PyUnicode_AsUTF8(text);
        std::string message = utf8 == nullptr ? "an error" : utf8;
        Py_XDECREF(text);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(trace);
        PyErr_Clear();
        return message;
    }
    PyObject* function;
};

} // namespace
%}

%apply (const double* values, int count) {
    (const double* controlValues, int controlCount), (const double* x, int xCount), (const double* v, int vCount),
    (const double* p, int pCount), (const double* gOutX, int gOutXCount), (const double* gOutV, int gOutVCount)
};
%apply (double* values, int count) {
    (double* velocities, int velocityCount), (double* momenta, int momentumCount), (double* gx, int gxCount),
    (double* gv, int gvCount), (double* gMomenta, int gMomentumCount), (double* gCoefficients, int gCoefficientCount),
    (double* gParameters, int gParameterCount), (double* gControls, int gControlCount)
};
%apply (const int* values, int count) { (const int* xRows, int xRowCount), (const int* vRows, int vRowCount) };

RELEASE_GIL(OpenMMGrad::ForceDerivatives::_compute)
RELEASE_GIL(OpenMMGrad::TrajectorySweep::start)
RELEASE_GIL(OpenMMGrad::TrajectorySweep::run)
RELEASE_GIL(OpenMMGrad::TrajectorySweep::reverse)
RELEASE_GIL(OpenMMGrad::TrajectorySweep::_reverseTogether)
RELEASE_GIL(OpenMMGrad::TrajectorySweep::_usesDevice)
RELEASE_GIL(OpenMMGrad::TrajectorySweep::_startNoise)

namespace OpenMMGrad {

class ForceDerivatives {
public:
    explicit ForceDerivatives(OpenMM::Context& context);
    void addDifferences(int groups, double displacement);
    void addOneSidedDifferences(int groups, double displacement, bool alternates);
    int addParameter(const std::string& name, int groups, double step);
    void addPairForce(const LearnablePairForce& force);
    int getNumCoefficients() const;
    int getNumParameters() const;
    %extend {
        void addForceProduct(PyObject* function) { $self->addForceProduct(PythonProduct(function)); }
        void _compute(const double* x, int xCount, const double* v, int vCount, double* gx, int gxCount,
                      double* gCoefficients, int gCoefficientCount, double* gParameters, int gParameterCount) {
            std::vector<OpenMM::Vec3> positions(xCount / 3), direction(vCount / 3), product;
            for (int i = 0; i < xCount; i++) {
                positions[i / 3][i % 3] = x[i];
                direction[i / 3][i % 3] = v[i];
            }
            std::vector<double> coefficients(gCoefficientCount), parameters;
            $self->compute(positions, direction, product, coefficients, parameters);
            for (int i = 0; i < gxCount; i++)
                gx[i] = product[i / 3][i % 3];
            std::copy(coefficients.begin(), coefficients.end(), gCoefficients);
            std::copy(parameters.begin(), parameters.end(), gParameters);
        }
    }
};

class TrajectorySweep {
public:
    enum Scheme { Verlet = 0, LangevinMiddle = 1, NoseHoover = 2 };
    %extend {
        TrajectorySweep(OpenMMGrad::ForceDerivatives& derivatives, int scheme, double friction) {
            return new OpenMMGrad::TrajectorySweep(derivatives, static_cast<OpenMMGrad::TrajectorySweep::Scheme>(scheme),
                                                   friction);
        }
        void setChain(double kT, int degreesOfFreedom, const double* values, int count) {
            $self->setChain({kT, degreesOfFreedom, std::vector<double>(values, values + count)});
        }
        void setControls(const int* values, int count) { $self->setControls(std::vector<int>(values, values + count)); }
        void start(const double* x, int xCount, double* velocities, int velocityCount, const double* controlValues,
                   int controlCount) {
            $self->start(x, velocities, controlValues);
        }
        long long run(int firstStep, int numSteps, const double* controlValues, int controlCount, const int* vRows,
                      int vRowCount, double* values, int count, double* velocities, int velocityCount, double* momenta,
                      int momentumCount, const int* xRows, int xRowCount, int hold) {
            return $self->run(firstStep, numSteps, controlValues, vRows, values, velocities, momenta, xRows, hold != 0);
        }
        void reverse(int firstStep, int numSteps, const double* controlValues, int controlCount, const double* x, int xCount,
                     const double* v, int vCount, const double* p, int pCount, const int* xRows, int xRowCount,
                     const int* vRows, int vRowCount, const double* gOutX, int gOutXCount, const double* gOutV,
                     int gOutVCount, double* gx, int gxCount, double* gv, int gvCount, double* gMomenta,
                     int gMomentumCount, double* gCoefficients, int gCoefficientCount, double* gParameters,
                     int gParameterCount, double* gControls, int gControlCount, long long history, int firstState) {
            $self->reverse(firstStep, numSteps, controlValues, x, v, p, xRows, vRows, gOutX, gOutV, gx, gv, gMomenta,
                           gCoefficients, gParameters, gControls, history, firstState);
        }
        // The arrays must live until _reverseTogether().
        void _addWindow(const double* x, int xCount, const double* gOutX, int gOutXCount, const double* gOutV,
                        int gOutVCount, double* gx, int gxCount, double* gv, int gvCount, long long history,
                        int firstState) {
            $self->addWindow(x, gOutX, gOutV, gx, gv, history, firstState);
        }
        void _reverseTogether(int firstStep, int numSteps, const int* xRows, int xRowCount, const int* vRows, int vRowCount,
                              double* gCoefficients, int gCoefficientCount) {
            $self->reverseTogether(firstStep, numSteps, xRows, vRows, gCoefficients);
        }
        bool _usesDevice() { return $self->getDevice().get() != nullptr; }
        bool _sweepsTogether() { return $self->getDevice().sweepsTogether(); }
        void _setDevice(bool enabled, double memory) {
            $self->getDevice().setEnabled(enabled);
            $self->getDevice().setMemory(static_cast<size_t>(memory));
        }
        void _release(long long history) { $self->getDevice().release(history); }
        bool _startNoise(int seed) { return $self->getDevice().startNoise(seed); }
        long long _getNumDownloads() { return $self->getDevice().getNumDownloads(); }
    }
};

}
