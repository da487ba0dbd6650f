// SPDX-License-Identifier: MIT
// The pair potential in OpenMM's nonbonded kernel, which gives r2, r, invR, atom1, atom2 and isExcluded, and takes
// tempEnergy and dEdR = -u'(r)/r. Two particles in the same place have an energy, but no direction and so no force.
{
    const bool included = INCLUDED;
    const int row = ROW;
    if (r2 < SQUARED_CUTOFF && included && row >= 0) {
        const bool apart = (r2 > 0);
        const real intervals = (apart ? r : 0)*INVERSE_WIDTH;
        const int interval = (intervals < LAST_INTERVAL ? (int) intervals : LAST_INTERVAL);
        const real t = intervals-interval;
        const real4 c = TABLE[row*(LAST_INTERVAL+1)+interval];
        tempEnergy += c.x+t*(c.y+t*(c.z+t*c.w));
        dEdR -= (apart ? (c.y+t*(2*c.z+3*t*c.w))*INVERSE_WIDTH*invR : 0);
    }
}
