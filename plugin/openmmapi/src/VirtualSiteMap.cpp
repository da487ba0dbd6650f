// SPDX-License-Identifier: MIT
#include "VirtualSiteMap.h"
#include "openmm/OpenMMException.h"
#include "openmm/VirtualSite.h"
#include <string>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

VirtualSiteMap::VirtualSiteMap(const System& system) {
    for (int index = 0; index < system.getNumParticles(); index++) {
        if (!system.isVirtualSite(index))
            continue;
        const VirtualSite& site = system.getVirtualSite(index);
        Site entry = {index, site.getNumParticles(), {0, 0, 0}, {0, 0, 0}};
        const auto* two = dynamic_cast<const TwoParticleAverageSite*>(&site);
        const auto* three = dynamic_cast<const ThreeParticleAverageSite*>(&site);
        if (two == nullptr && three == nullptr)
            throw OpenMMException("VirtualSiteMap: a TwoParticleAverageSite or ThreeParticleAverageSite was expected for "
                                  "particle " + to_string(index) + ", found another kind. Use a model whose sites are "
                                  "averages.");
        for (int k = 0; k < entry.count; k++) {
            entry.particles[k] = site.getParticle(k);
            entry.weights[k] = two != nullptr ? two->getWeight(k) : three->getWeight(k);
            if (system.isVirtualSite(entry.particles[k]))
                throw OpenMMException("VirtualSiteMap: particles with mass were expected for the site " +
                                      to_string(index) + ", found the virtual site " + to_string(entry.particles[k]) +
                                      ". Define each site by particles.");
        }
        sites.push_back(entry);
    }
}

void VirtualSiteMap::extend(vector<Vec3>& vectors) const {
    for (const Site& site : sites) {
        Vec3 sum;
        for (int k = 0; k < site.count; k++)
            sum += vectors[site.particles[k]] * site.weights[k];
        vectors[site.index] = sum;
    }
}

void VirtualSiteMap::pullBack(vector<Vec3>& cotangents) const {
    for (const Site& site : sites) {
        for (int k = 0; k < site.count; k++)
            cotangents[site.particles[k]] += cotangents[site.index] * site.weights[k];
        cotangents[site.index] = Vec3();
    }
}

void VirtualSiteMap::clear(vector<Vec3>& vectors) const {
    for (const Site& site : sites)
        vectors[site.index] = Vec3();
}

} // namespace OpenMMGrad
