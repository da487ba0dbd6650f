// SPDX-License-Identifier: MIT
// Pairs of stored positions of many windows at once, by blocks of 32 sorted particles. There is no list of neighbours to
// build or to wait for: each block looks at the bounds of all others and skips those beyond the cutoff.
// Groups have GROUP = 32*PARTS threads: thread t has particle t%32 of its block, and part t/32 of the other blocks.

#define LOAD_BOX(window) \
    const real4 periodicBoxSize = boxes[5 * (window)], invPeriodicBoxSize = boxes[5 * (window) + 1]; \
    const real4 periodicBoxVecX = boxes[5 * (window) + 2], periodicBoxVecY = boxes[5 * (window) + 3]; \
    const real4 periodicBoxVecZ = boxes[5 * (window) + 4];

/** Centre and half widths of each block of each state. */
KERNEL void findBounds(int numWindows, int numRows, int numBlocks, int numAtoms, GLOBAL const real4* RESTRICT positions,
                       GLOBAL const real4* RESTRICT boxes, GLOBAL real4* RESTRICT bounds) {
    for (int index = GLOBAL_ID; index < numWindows * numRows * numBlocks; index += GLOBAL_SIZE) {
        const int block = index % numBlocks, window = index / (numBlocks * numRows);
        GLOBAL const real4* blockPositions = positions + 32 * (mm_long) index;
        const int count = min(32, numAtoms - 32 * block);
        LOAD_BOX(window)
        real4 lower = blockPositions[0], upper = blockPositions[0];
        for (int i = 1; i < count; i++) {
            real4 p = blockPositions[i];
#ifdef USE_PERIODIC
            const real4 center = make_real4((real) 0.5f * (lower.x + upper.x), (real) 0.5f * (lower.y + upper.y),
                                            (real) 0.5f * (lower.z + upper.z), 0);
            APPLY_PERIODIC_TO_POS_WITH_CENTER(p, center)
#endif
            lower = make_real4(min(lower.x, p.x), min(lower.y, p.y), min(lower.z, p.z), 0);
            upper = make_real4(max(upper.x, p.x), max(upper.y, p.y), max(upper.z, p.z), 0);
        }
        bounds[2 * (mm_long) index] = make_real4((real) 0.5f * (lower.x + upper.x), (real) 0.5f * (lower.y + upper.y),
                                                 (real) 0.5f * (lower.z + upper.z), 0);
        bounds[2 * (mm_long) index + 1] = make_real4((real) 0.5f * (upper.x - lower.x), (real) 0.5f * (upper.y - lower.y),
                                                     (real) 0.5f * (upper.z - lower.z), 0);
    }
}

#ifdef __OPENCL_VERSION__
    #define LOWEST_BIT(word) (31 - (int) clz((word) & (~(word) + 1)))
#else
    #define LOWEST_BIT(word) (__ffs((int) (word)) - 1)
#endif

/**
 * gx += (dF/dx) a and sums += h (dF/dc)^T a / |a|, in fixed point; h is the width of an interval. On i, with
 * e = (x_i - x_j)/r and w = a_i - a_j: -[u'' (e.w) e + (u'/r) (w - (e.w) e)]; for coefficient k: -(e.w) h B'_k(r).
 */
KERNEL void addPairProducts(int numWindows, int numRows, int row, int numBlocks, int numAtoms,
                            GLOBAL const real4* RESTRICT positions, GLOBAL const real4* RESTRICT bounds,
                            GLOBAL const real4* RESTRICT directions, GLOBAL const int* RESTRICT order,
                            GLOBAL const int* RESTRICT classes, GLOBAL const int* RESTRICT tableRows,
                            GLOBAL const real4* RESTRICT table, GLOBAL const int* RESTRICT exclusionStart,
                            GLOBAL const int* RESTRICT exclusions, GLOBAL const real4* RESTRICT boxes, int numParts,
                            GLOBAL const double* RESTRICT squares, int numSums, int firstSum, double sumScale,
                            GLOBAL double* RESTRICT gx, GLOBAL mm_ulong* RESTRICT sums) {
    LOCAL real4 otherPositions[GROUP], otherDirections[GROUP];
    LOCAL int otherAtoms[GROUP], otherClasses[GROUP], near[GROUP], list[GROUP];
#ifdef LOCAL_SUMS
    LOCAL unsigned int localSums[2 * NUM_SUMS];
    for (int k = LOCAL_ID; k < 2 * NUM_SUMS; k += LOCAL_SIZE)
        localSums[k] = 0;
    SYNC_THREADS;
    #define SUMS localSums
#else
    #define SUMS windowSums
#endif
    const int lane = LOCAL_ID % 32, part = LOCAL_ID / 32;
    for (int unit = GROUP_ID; unit < numWindows * numBlocks; unit += NUM_GROUPS) {
        const int window = unit / numBlocks, block = unit - window * numBlocks;
        GLOBAL mm_ulong* windowSums = sums + window * numSums + firstSum;
        const double longest = longestOf(squares, window, numParts);
        if (longest == 0)
            continue;
        const real scale = (real) (sumScale / longest);
        const mm_long firstBlock = ((mm_long) window * numRows + row) * numBlocks;
        const int slot = 32 * block + lane, firstSlot = 32 * numBlocks * window;
        const bool present = slot < numAtoms;
        const int atom = present ? order[firstSlot + slot] : 0;
        const int ownClass = classes[atom];
        const real4 position = positions[32 * firstBlock + (present ? slot : 0)];
        const real4 direction = directions[firstSlot + (present ? slot : 0)];
        const real4 blockCenter = bounds[2 * (firstBlock + block)], blockWidth = bounds[2 * (firstBlock + block) + 1];
        LOAD_BOX(window)
        real3 product = make_real3(0, 0, 0);
        for (int base = 0; base < numBlocks; base += GROUP) {
            // Which of the next blocks are near, in their order.
            int isNear = 0;
            if (base + LOCAL_ID < numBlocks) {
                const real4 width = bounds[2 * (firstBlock + base + LOCAL_ID) + 1];
                real4 delta = bounds[2 * (firstBlock + base + LOCAL_ID)];
                delta = make_real4(delta.x - blockCenter.x, delta.y - blockCenter.y, delta.z - blockCenter.z, 0);
#ifdef USE_PERIODIC
                APPLY_PERIODIC_TO_DELTA(delta)
#endif
                const real dx = max((real) 0, fabs(delta.x) - blockWidth.x - width.x);
                const real dy = max((real) 0, fabs(delta.y) - blockWidth.y - width.y);
                const real dz = max((real) 0, fabs(delta.z) - blockWidth.z - width.z);
                isNear = dx * dx + dy * dy + dz * dz < CUTOFF * CUTOFF;
#if defined(USE_PERIODIC) && defined(TRICLINIC)
                // The nearest image of the centres need not be that of the particles where half a box can be crossed.
                isNear |= (real) 0.5f * periodicBoxSize.x - blockWidth.x - width.x < CUTOFF ||
                          (real) 0.5f * periodicBoxSize.y - blockWidth.y - width.y < CUTOFF ||
                          (real) 0.5f * periodicBoxSize.z - blockWidth.z - width.z < CUTOFF;
#endif
            }
            near[LOCAL_ID] = isNear;
            SYNC_THREADS;
            int numNear = 0, rank = 0;
            for (int t = 0; t < GROUP; t++) {
                rank += t < LOCAL_ID ? near[t] : 0;
                numNear += near[t];
            }
            if (isNear)
                list[rank] = base + LOCAL_ID;
            SYNC_THREADS;
            for (int first = 0; first < numNear; first += PARTS) {
                const int other = first + part < numNear ? list[first + part] : -1;
                const int otherSlot = 32 * other + lane;
                if (other >= 0 && otherSlot < numAtoms) {
                    otherPositions[LOCAL_ID] = positions[32 * firstBlock + otherSlot];
                    otherDirections[LOCAL_ID] = directions[firstSlot + otherSlot];
                    otherAtoms[LOCAL_ID] = order[firstSlot + otherSlot];
                    otherClasses[LOCAL_ID] = classes[order[firstSlot + otherSlot]];
                }
                SYNC_THREADS;
                const int count = other >= 0 && present ? min(32, numAtoms - 32 * other) : 0;
                // First who is near, then the pairs: threads that wait for each other have different ones at a time.
                unsigned int within = 0;
                for (int j = 0; j < count; j++) {
                    const real4 q = otherPositions[32 * part + j];
                    real3 delta = make_real3(position.x - q.x, position.y - q.y, position.z - q.z);
#ifdef USE_PERIODIC
                    APPLY_PERIODIC_TO_DELTA(delta)
#endif
                    const real r2 = delta.x * delta.x + delta.y * delta.y + delta.z * delta.z;
                    within |= (unsigned int) (r2 < CUTOFF * CUTOFF ? 1 : 0) << j;
                }
                if (other == block)
                    within &= ~(1u << lane);
                while (within != 0) {
                    const int j = LOWEST_BIT(within);
                    within &= within - 1;
                    const real4 q = otherPositions[32 * part + j];
                    real3 delta = make_real3(position.x - q.x, position.y - q.y, position.z - q.z);
#ifdef USE_PERIODIC
                    APPLY_PERIODIC_TO_DELTA(delta)
#endif
                    const real r2 = delta.x * delta.x + delta.y * delta.y + delta.z * delta.z;
                    const int tableRow = tableRows[ownClass * NUM_CLASSES + otherClasses[32 * part + j]];
                    bool interact = tableRow >= 0;
#ifdef USE_EXCLUSIONS
                    for (int k = exclusionStart[atom]; k < exclusionStart[atom + 1]; k++)
                        interact = interact && exclusions[k] != otherAtoms[32 * part + j];
#endif
                    if (!interact)
                        continue;
                    const real r = sqrt(r2);
                    // Two particles in the same place have no direction: their force and its derivatives are zero.
                    const real inverseR = r > 0 ? 1 / r : 0;
                    real t;
                    const int interval = splineInterval(r, INVERSE_WIDTH, NUM_INTERVALS, &t);
                    const real4 c = table[tableRow * NUM_INTERVALS + interval];
                    const real across = cubicSlope(c, t) * INVERSE_WIDTH * inverseR;
                    const real curvature = cubicCurvature(c, t) * INVERSE_WIDTH * INVERSE_WIDTH;
                    const real ex = delta.x * inverseR, ey = delta.y * inverseR, ez = delta.z * inverseR;
                    const real4 d = otherDirections[32 * part + j];
                    const real wx = direction.x - d.x, wy = direction.y - d.y, wz = direction.z - d.z;
                    const real along = ex * wx + ey * wy + ez * wz;
                    const real radial = (curvature - across) * along;
                    product.x -= radial * ex + across * wx;
                    product.y -= radial * ey + across * wy;
                    product.z -= radial * ez + across * wz;
                    if (slot < 32 * other + j) {
                        const real4 basis = splineBasisSlope(t);
                        const real factor = -along * scale;
                        const int k = tableRow * (NUM_INTERVALS + 3) + interval;
                        addToSum(SUMS, k, (mm_long) rint(factor * basis.x));
                        addToSum(SUMS, k + 1, (mm_long) rint(factor * basis.y));
                        addToSum(SUMS, k + 2, (mm_long) rint(factor * basis.z));
                        addToSum(SUMS, k + 3, (mm_long) rint(factor * basis.w));
                    }
                }
                SYNC_THREADS;
            }
        }
        // The parts of a particle, in their order.
        otherPositions[LOCAL_ID] = make_real4(product.x, product.y, product.z, 0);
        SYNC_THREADS;
        if (part == 0 && present) {
            double x = 0, y = 0, z = 0;
            for (int p = 0; p < PARTS; p++) {
                const real4 q = otherPositions[32 * p + lane];
                x += q.x;
                y += q.y;
                z += q.z;
            }
            GLOBAL double* sum = gx + 3 * ((mm_long) window * numAtoms + atom);
            sum[0] += x;
            sum[1] += y;
            sum[2] += z;
        }
        SYNC_THREADS;
#ifdef LOCAL_SUMS
        for (int k = LOCAL_ID; k < NUM_SUMS; k += LOCAL_SIZE) {
            const mm_ulong sum = ((mm_ulong) localSums[2 * k + 1] << 32) + localSums[2 * k];
            if (sum != 0)
                ATOMIC_ADD(&windowSums[k], sum);
            localSums[2 * k] = 0;
            localSums[2 * k + 1] = 0;
        }
        SYNC_THREADS;
#endif
    }
}
