// SPDX-License-Identifier: MIT
// Included once for each instruction set, in its namespace, after `struct Lanes` and the macros TARGET and INLINE.

/** Squared lengths of brick images of differences on the grid, as CpuGridScale::findSquare(). */
template <bool triclinic>
INLINE Lanes::Float findSquares(const CpuGridScale& scale, Lanes::Int x, Lanes::Int y, Lanes::Int z) {
    const Lanes::Float alongC = Lanes::toFloat(z);
    if (triclinic) {
        const Lanes::Float cInY = Lanes::mul(alongC, Lanes::set(scale.zy));
        y = Lanes::add(y, Lanes::toInt(cInY));
        const Lanes::Float alongB = Lanes::sub(Lanes::toFloat(y), cInY);
        x = Lanes::add(x, Lanes::toInt(Lanes::mul(alongB, Lanes::set(scale.yx))));
        x = Lanes::add(x, Lanes::toInt(Lanes::mul(alongC, Lanes::set(scale.zx))));
    }
    const Lanes::Float dx = Lanes::mul(Lanes::toFloat(x), Lanes::set(scale.x));
    const Lanes::Float dy = Lanes::mul(Lanes::toFloat(y), Lanes::set(scale.y));
    const Lanes::Float dz = Lanes::mul(alongC, Lanes::set(scale.z));
    return Lanes::fma(dx, dx, Lanes::fma(dy, dy, Lanes::mul(dz, dz)));
}

template <bool triclinic>
TARGET void binRanges(const SingleBins& bins, const AtomCells& partners, const int32_t atom[3], const AtomRange* ranges,
                      int numRanges, BinnedPartners& found) {
    const CpuGridScale scale = bins.scale;
    const int32_t *xs = partners.x.data(), *ys = partners.y.data(), *zs = partners.z.data();
    const Lanes::Int x = Lanes::set(atom[0]), y = Lanes::set(atom[1]), z = Lanes::set(atom[2]);
    const Lanes::Float start = Lanes::set(bins.start), doubt = Lanes::set(bins.doubt);
    const Lanes::Float below = Lanes::set(-bins.doubt), above = Lanes::set(bins.count + bins.doubt);
    int32_t *next = found.bins, *nextDoubtful = found.doubtful;
    for (int n = 0; n < numRanges; n++)
        for (int j = ranges[n].begin; j < ranges[n].end; j += Lanes::Width) {
            const Lanes::Float square = findSquares<triclinic>(scale, Lanes::sub(x, Lanes::load(xs + j)),
                                                               Lanes::sub(y, Lanes::load(ys + j)),
                                                               Lanes::sub(z, Lanes::load(zs + j)));
            const Lanes::Float place = Lanes::sub(Lanes::sqrt(square), start);
            const Lanes::Mask inside = Lanes::both(Lanes::first(ranges[n].end - j),
                                                   Lanes::both(Lanes::less(below, place), Lanes::less(place, above)));
            const Lanes::Float fromEdge = Lanes::abs(Lanes::sub(place, Lanes::round(place)));
            const Lanes::Mask unsure = Lanes::both(inside, Lanes::less(fromEdge, doubt));
            next += Lanes::storeSet(next, Lanes::truncate(place), Lanes::without(inside, unsure));
            for (unsigned bits = Lanes::bits(unsure); bits != 0; bits &= bits - 1)
                *nextDoubtful++ = j + __builtin_ctz(bits);
        }
    found.numBins = next - found.bins;
    found.numDoubtful = nextDoubtful - found.doubtful;
}

static void choose(const SingleBins& bins, const AtomCells& partners, const int32_t atom[3], const AtomRange* ranges,
                   int numRanges, BinnedPartners& found) {
    (bins.scale.triclinic ? binRanges<true> : binRanges<false>)(bins, partners, atom, ranges, numRanges, found);
}

