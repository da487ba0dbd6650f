// SPDX-License-Identifier: MIT
// C++ exceptions become openmm.OpenMMException, with Python's lock held again when it has been released.
%{
#include <exception>

namespace {

/** Lets other Python threads run while it lives. */
class ReleaseGil {
public:
    ReleaseGil() : state(PyEval_SaveThread()) {}
    ~ReleaseGil() { PyEval_RestoreThread(state); }
    ReleaseGil(const ReleaseGil&) = delete;
    ReleaseGil& operator=(const ReleaseGil&) = delete;

private:
    PyThreadState* state;
};

void raiseOpenMMException(const char* message) {
    PyObject* module = PyImport_ImportModule("openmm");
    PyObject* type = module == nullptr ? nullptr : PyObject_GetAttrString(module, "OpenMMException");
    if (type != nullptr)
        PyErr_SetString(type, message);
    Py_XDECREF(type);
    Py_XDECREF(module);
}

} // namespace
%}

%exception {
    try {
        $action
    } catch (const std::exception& error) {
        raiseOpenMMException(error.what());
        SWIG_fail;
    }
}

%define RELEASE_GIL(method)
%exception method {
    try {
        ReleaseGil release;
        $action
    } catch (const std::exception& error) {
        raiseOpenMMException(error.what());
        SWIG_fail;
    }
}
%enddef
