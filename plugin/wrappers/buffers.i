// SPDX-License-Identifier: MIT
// (values, count): a C-contiguous array of doubles or ints, read (const) or written through Python's buffer protocol.
%{
#include <cstring>

namespace {

bool openBuffer(PyObject* object, Py_buffer* view, const char* format, bool writable) {
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) != 0)
        return false;
    if (view->format != nullptr && std::strcmp(view->format, format) == 0)
        return true;
    PyErr_Format(PyExc_TypeError,
                 "openmmgrad.plugin: an array of format '%s' was expected, found '%s'. Convert it with numpy.asarray().",
                 format, view->format == nullptr ? "bytes" : view->format);
    PyBuffer_Release(view);
    return false;
}

} // namespace
%}

%define BUFFER(Type, format, writable)
%typemap(in, numinputs = 1) (Type* values, int count) (Py_buffer view = {}) {
    if (!openBuffer($input, &view, format, writable))
        SWIG_fail;
    $1 = static_cast<$1_ltype>(view.buf);
    $2 = static_cast<int>(view.len / view.itemsize);
}
%typemap(freearg) (Type* values, int count) {
    if (view$argnum.obj != nullptr)
        PyBuffer_Release(&view$argnum);
}
%enddef
BUFFER(const double, "d", false)
BUFFER(double, "d", true)
BUFFER(const int, "i", false)
BUFFER(int, "i", true)
%apply (const double* values, int count) { (const double* lambda, int lambdaCount) };
%apply (double* values, int count) { (double* product, int productCount), (double* second, int secondCount) };
%apply (const int* values, int count) { (const int* set2, int count2) };
