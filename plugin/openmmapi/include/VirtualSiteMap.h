// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_VIRTUALSITEMAP_H_
#define OPENMMGRAD_VIRTUALSITEMAP_H_

#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/System.h"
#include "openmm/Vec3.h"
#include <vector>

namespace OpenMMGrad {

/**
 * The linear map J from particles to virtual sites, x_site = sum_p w_p x_p: two- and three-particle averages. Other
 * kinds of sites are not linear and are refused.
 */
class OPENMMGRAD_EXPORT VirtualSiteMap {
public:
    explicit VirtualSiteMap(const OpenMM::System& system);
    bool empty() const { return sites.empty(); }
    /** Rows of sites become those of their particles: vector_site = sum_p w_p vector_p. */
    void extend(std::vector<OpenMM::Vec3>& vectors) const;
    /** The transpose: rows of sites are given to their particles, and become zero. */
    void pullBack(std::vector<OpenMM::Vec3>& cotangents) const;
    /** Rows of sites become zero. */
    void clear(std::vector<OpenMM::Vec3>& vectors) const;

private:
    struct Site {
        int index, count;
        int particles[3];
        double weights[3];
    };
    std::vector<Site> sites;
};

} // namespace OpenMMGrad

#endif
