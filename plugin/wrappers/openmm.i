// SPDX-License-Identifier: MIT
// What SWIG must know of OpenMM's classes: their names. The proxies themselves are openmm's own.
%module openmm
namespace OpenMM {
class Force {
public:
    virtual ~Force();

private:
    Force();
};
class Context;
class System;
}
