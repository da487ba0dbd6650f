// SPDX-License-Identifier: MIT
// Sums over the pairs of OpenMM's neighbour list, by tiles of 32 x 32 particles: first the tiles with exclusions, then
// those of the list. One of three programs:
//   COEFFICIENTS  sums[k] = sum B_k(r)
//   PRODUCT       sums[k] = -sum (e.w) h B'_k(r), product = (dF/dx) direction, w = direction_1 - direction_2
//   VIRIAL        sums[k] = -sum (r/cutoff) h B'_k(r), virial = sum F_a r_b: xx, xy, xz, yy, yz, zz
// with e = (x_1 - x_2)/r, h the width of an interval. All sums are integers, the same in any order of summation; scales
// are chosen by the host so that they do not overflow (CommonPairParameters.h).
//
// Nothing is assumed of threads that run in step: each writes to another's particle in a phase of its own, with barriers
// between phases. On CUDA a tile's threads are a warp and wait for each other alone; elsewhere all of the work group do,
// for which its tiles go through the same loops.

#ifdef __OPENCL_VERSION__
    #define SYNC_TILE barrier(CLK_LOCAL_MEM_FENCE)
    #define SYNC_UNIT 0
    #define IS_FIRST_OF_UNIT (LOCAL_ID == 0)
#else
    #define SYNC_TILE SYNC_WARPS
    #define SYNC_UNIT (LOCAL_ID/TILE_SIZE)
    #define IS_FIRST_OF_UNIT ((LOCAL_ID & (TILE_SIZE-1)) == 0)
#endif

KERNEL void sumOverPairs(GLOBAL const real4* RESTRICT posq, GLOBAL const int* RESTRICT classes, GLOBAL const int* RESTRICT rows,
        GLOBAL const real4* RESTRICT table, GLOBAL const unsigned int* RESTRICT exclusions,
        GLOBAL const int2* RESTRICT exclusionTiles, GLOBAL const int* RESTRICT tiles,
        GLOBAL const unsigned int* RESTRICT interactionCount, GLOBAL const int* RESTRICT interactingAtoms,
        unsigned int maxTiles, GLOBAL const real4* RESTRICT blockCenter, GLOBAL const real4* RESTRICT blockSize,
        real4 periodicBoxSize, real4 invPeriodicBoxSize, real4 periodicBoxVecX, real4 periodicBoxVecY, real4 periodicBoxVecZ,
        int numAtoms, int paddedNumAtoms, int numExclusionTiles, int numClasses, int onlyRow, int numIntervals, int numSums,
        real cutoff, real inverseWidth, GLOBAL mm_ulong* RESTRICT sums, real sumScale
#ifdef PRODUCT
        , GLOBAL const real4* RESTRICT direction, GLOBAL mm_ulong* RESTRICT product, real productScale
#endif
#ifdef VIRIAL
        , GLOBAL mm_ulong* RESTRICT virial, real virialScale
#endif
        ) {
    LOCAL real4 partners[GROUP_SIZE];
    LOCAL int partnerClasses[GROUP_SIZE];
#ifdef PRODUCT
    LOCAL real4 partnerDirections[GROUP_SIZE];
    LOCAL real partnerX[GROUP_SIZE], partnerY[GROUP_SIZE], partnerZ[GROUP_SIZE];
#endif
#ifdef VIRIAL
    LOCAL mm_long shares[GROUP_SIZE];
    mm_long xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;
#endif
#ifdef SKIP_DISTANT_TILES
    LOCAL int nearby[GROUP_SIZE/TILE_SIZE];
#endif
#ifdef LOCAL_SUMS
    LOCAL unsigned int localSums[2*LOCAL_SUMS];
    for (int k = LOCAL_ID; k < 2*numSums; k += LOCAL_SIZE)
        localSums[k] = 0;
    SYNC_THREADS;
    #define SUMS localSums
#else
    #define SUMS sums
#endif
    const unsigned int numTiles = interactionCount[0];
    if (numTiles > maxTiles)
        return;   // the list did not fit: the host enlarges it and comes again
    const int tgx = LOCAL_ID & (TILE_SIZE-1);
    const int tbx = LOCAL_ID-tgx;
    const int tilesPerGroup = LOCAL_SIZE/TILE_SIZE;
    const mm_long total = (mm_long) numExclusionTiles+numTiles;
    const int first = (int) (GROUP_ID*total/NUM_GROUPS);
    const int end = (int) ((GROUP_ID+1)*total/NUM_GROUPS);
    for (int start = first; start < end; start += tilesPerGroup) {
        // Which particles: one of block x, and one of its 32 partners.
        const int pos = start+LOCAL_ID/TILE_SIZE;
        int x = 0, j = paddedNumAtoms;
        unsigned int included = 0xFFFFFFFF;
        bool diagonal = false;
        if (pos < end && pos < numExclusionTiles) {
            const int2 tile = exclusionTiles[pos];
            x = tile.x;
            j = tile.y*TILE_SIZE+tgx;
            diagonal = (tile.x == tile.y);
#ifdef USE_EXCLUSIONS
            included = exclusions[pos*TILE_SIZE+tgx];
#endif
        }
        else if (pos < end) {
            x = tiles[pos-numExclusionTiles];
            j = interactingAtoms[(pos-numExclusionTiles)*TILE_SIZE+tgx];
        }
        const int i = x*TILE_SIZE+tgx;
        const bool hasPartner = (j < numAtoms);
        const int ownClass = (i < numAtoms ? classes[i] : -1);
        real4 own = posq[i];
        real4 partner = posq[hasPartner ? j : i];
#ifdef USE_PERIODIC
        // Where the block and a cutoff around it fit into half a box, all is moved next to the block.
        const real4 size = blockSize[x];
        const real4 center = blockCenter[x];
        const bool singleCopy = (0.5f*periodicBoxSize.x-size.x >= cutoff && 0.5f*periodicBoxSize.y-size.y >= cutoff &&
                                 0.5f*periodicBoxSize.z-size.z >= cutoff);
        if (singleCopy) {
            APPLY_PERIODIC_TO_POS_WITH_CENTER(own, center)
            APPLY_PERIODIC_TO_POS_WITH_CENTER(partner, center)
        }
#endif
        SYNC_TILE;
        partners[LOCAL_ID] = partner;
        partnerClasses[LOCAL_ID] = (hasPartner ? classes[j] : -1);
#ifdef PRODUCT
        const real4 ownDirection = direction[i];
        partnerDirections[LOCAL_ID] = direction[hasPartner ? j : i];
        partnerX[LOCAL_ID] = 0;
        partnerY[LOCAL_ID] = 0;
        partnerZ[LOCAL_ID] = 0;
        real3 change = make_real3(0, 0, 0);
#endif
#ifdef VIRIAL
        real txx = 0, txy = 0, txz = 0, tyy = 0, tyz = 0, tzz = 0;
#endif
#ifdef SKIP_DISTANT_TILES
        if (IS_FIRST_OF_UNIT)
            nearby[SYNC_UNIT] = 0;
        SYNC_TILE;
        real3 gap = make_real3(partner.x-blockCenter[x].x, partner.y-blockCenter[x].y, partner.z-blockCenter[x].z);
    #ifdef USE_PERIODIC
        APPLY_PERIODIC_TO_DELTA(gap)
    #endif
        gap.x = fmax((real) 0, fabs(gap.x)-blockSize[x].x);
        gap.y = fmax((real) 0, fabs(gap.y)-blockSize[x].y);
        gap.z = fmax((real) 0, fabs(gap.z)-blockSize[x].z);
        if (hasPartner && gap.x*gap.x+gap.y*gap.y+gap.z*gap.z < cutoff*cutoff)
            LOCAL_ADD(&nearby[SYNC_UNIT], 1);
        SYNC_TILE;
        if (nearby[SYNC_UNIT] == 0)
            continue;
#else
        SYNC_TILE;
#endif
        int tj = tgx;
        for (int step = 0; step < TILE_SIZE; step++) {
            const real4 other = partners[tbx+tj];
            const int otherClass = partnerClasses[tbx+tj];
            real3 delta = make_real3(own.x-other.x, own.y-other.y, own.z-other.z);
#ifdef USE_PERIODIC
            if (!singleCopy) {
                APPLY_PERIODIC_TO_DELTA(delta)
            }
#endif
            const real r2 = delta.x*delta.x+delta.y*delta.y+delta.z*delta.z;
            const bool both = (ownClass >= 0 && otherClass >= 0 && ((included >> tj) & 1) != 0 && (!diagonal || tj > tgx));
            int row = -1;
            if (both && r2 < cutoff*cutoff)
                row = (numClasses == 1 ? onlyRow : rows[ownClass*numClasses+otherClass]);
            if (row >= 0) {
                // Two particles in the same place have no direction.
                const real r = SQRT(r2);
                const real invR = (r2 > 0 ? RECIP(r) : 0);
                real t;
                const int interval = splineInterval(r, inverseWidth, numIntervals, &t);
                const int slot = row*(numIntervals+3)+interval;
#ifdef COEFFICIENTS
                const real4 basis = splineBasis(t);
                const real factor = 1;
#else
                const real4 basis = splineBasisSlope(t);
                const real4 c = table[row*numIntervals+interval];
                const real slopeOverR = cubicSlope(c, t)*inverseWidth*invR;
#endif
#ifdef PRODUCT
                const real4 otherDirection = partnerDirections[tbx+tj];
                const real3 w = make_real3(ownDirection.x-otherDirection.x, ownDirection.y-otherDirection.y,
                                           ownDirection.z-otherDirection.z);
                const real along = (delta.x*w.x+delta.y*w.y+delta.z*w.z)*invR;
                const real factor = -along;
                const real radial = (cubicCurvature(c, t)*inverseWidth*inverseWidth-slopeOverR)*along*invR;
                const real3 term = make_real3(radial*delta.x+slopeOverR*w.x, radial*delta.y+slopeOverR*w.y,
                                              radial*delta.z+slopeOverR*w.z);
                change.x -= term.x;
                change.y -= term.y;
                change.z -= term.z;
                partnerX[tbx+tj] += term.x;
                partnerY[tbx+tj] += term.y;
                partnerZ[tbx+tj] += term.z;
#endif
#ifdef VIRIAL
                const real factor = -r/cutoff;
                txx -= slopeOverR*delta.x*delta.x;
                txy -= slopeOverR*delta.x*delta.y;
                txz -= slopeOverR*delta.x*delta.z;
                tyy -= slopeOverR*delta.y*delta.y;
                tyz -= slopeOverR*delta.y*delta.z;
                tzz -= slopeOverR*delta.z*delta.z;
#endif
                addToSum(SUMS, slot, toInteger(factor*basis.x, sumScale));
                addToSum(SUMS, slot+1, toInteger(factor*basis.y, sumScale));
                addToSum(SUMS, slot+2, toInteger(factor*basis.z, sumScale));
                addToSum(SUMS, slot+3, toInteger(factor*basis.w, sumScale));
            }
            tj = (tj+1) & (TILE_SIZE-1);
#ifdef PRODUCT
            SYNC_TILE;
#endif
        }
#ifdef PRODUCT
        ATOMIC_ADD(&product[i], (mm_ulong) toInteger(change.x, productScale));
        ATOMIC_ADD(&product[i+paddedNumAtoms], (mm_ulong) toInteger(change.y, productScale));
        ATOMIC_ADD(&product[i+2*paddedNumAtoms], (mm_ulong) toInteger(change.z, productScale));
        if (hasPartner) {
            ATOMIC_ADD(&product[j], (mm_ulong) toInteger(partnerX[LOCAL_ID], productScale));
            ATOMIC_ADD(&product[j+paddedNumAtoms], (mm_ulong) toInteger(partnerY[LOCAL_ID], productScale));
            ATOMIC_ADD(&product[j+2*paddedNumAtoms], (mm_ulong) toInteger(partnerZ[LOCAL_ID], productScale));
        }
#endif
#ifdef VIRIAL
        xx += toInteger(txx, virialScale);
        xy += toInteger(txy, virialScale);
        xz += toInteger(txz, virialScale);
        yy += toInteger(tyy, virialScale);
        yz += toInteger(tyz, virialScale);
        zz += toInteger(tzz, virialScale);
#endif
    }
    SYNC_THREADS;
#ifdef LOCAL_SUMS
    for (int k = LOCAL_ID; k < numSums; k += LOCAL_SIZE) {
        const mm_ulong share = localSums[2*k]+(((mm_ulong) localSums[2*k+1]) << 32);
        if (share != 0)
            ATOMIC_ADD(&sums[k], share);
    }
#endif
#ifdef VIRIAL
    for (int component = 0; component < 6; component++) {
        shares[LOCAL_ID] = (component == 0 ? xx : component == 1 ? xy : component == 2 ? xz :
                            component == 3 ? yy : component == 4 ? yz : zz);
        SYNC_THREADS;
        if (LOCAL_ID == 0) {
            mm_long share = 0;
            for (int k = 0; k < (int) LOCAL_SIZE; k++)
                share += shares[k];
            ATOMIC_ADD(&virial[component], (mm_ulong) share);
        }
        SYNC_THREADS;
    }
#endif
}
