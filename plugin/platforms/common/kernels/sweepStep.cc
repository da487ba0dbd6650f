// SPDX-License-Identifier: MIT
// The states of windows and their adjoint, in the particles' own order: double [window][particle][3]. A window's order says
// which particle is where among the sorted ones, that pairs are computed with. Groups have GROUP threads.

/** Over the threads of a group, all of which must come here: the sum is the first thread's. */
DEVICE double sumOverGroup(double value, LOCAL_ARG double* buffer) {
    buffer[LOCAL_ID] = value;
    SYNC_THREADS;
    for (int offset = GROUP / 2; offset > 0; offset /= 2) {
        if (LOCAL_ID < offset)
            buffer[LOCAL_ID] += buffer[LOCAL_ID + offset];
        SYNC_THREADS;
    }
    return buffer[0];
}

KERNEL void storeState(int numAtoms, int row, int velocityRow, GLOBAL const real4* RESTRICT posq,
                       GLOBAL const real4* RESTRICT correction, GLOBAL const mixed4* RESTRICT velm,
                       GLOBAL const int* RESTRICT atomIndex, GLOBAL const int4* RESTRICT cellOffsets, double4 boxX,
                       double4 boxY, double4 boxZ, GLOBAL double* RESTRICT positions,
                       GLOBAL double* RESTRICT velocities) {
    for (int i = GLOBAL_ID; i < numAtoms; i += GLOBAL_SIZE) {
        const real4 p = posq[i];
        double x = p.x, y = p.y, z = p.z;
#ifdef USE_MIXED_PRECISION
        const real4 c = correction[i];
        x += c.x;
        y += c.y;
        z += c.z;
#endif
        const int4 cell = cellOffsets[i];
        GLOBAL double* state = positions + 3 * ((mm_long) row * numAtoms + atomIndex[i]);
        state[0] = x - boxX.x * cell.x - boxY.x * cell.y - boxZ.x * cell.z;
        state[1] = y - boxY.y * cell.y - boxZ.y * cell.z;
        state[2] = z - boxZ.z * cell.z;
        if (velocityRow >= 0) {
            const mixed4 v = velm[i];
            GLOBAL double* velocity = velocities + 3 * ((mm_long) velocityRow * numAtoms + atomIndex[i]);
            velocity[0] = v.x;
            velocity[1] = v.y;
            velocity[2] = v.z;
        }
    }
}

/** Some of the states, one after the other. */
KERNEL void copyRows(int numAtoms, int count, GLOBAL const int* RESTRICT rows, GLOBAL const double* RESTRICT states,
                     GLOBAL double* RESTRICT copies) {
    for (int index = GLOBAL_ID; index < count * numAtoms; index += GLOBAL_SIZE) {
        GLOBAL const double* state = states + 3 * ((mm_long) rows[index / numAtoms] * numAtoms + index % numAtoms);
        for (int axis = 0; axis < 3; axis++)
            copies[3 * (mm_long) index + axis] = state[axis];
    }
}

/** Positions of one window at its usedRows of numRows states, wrapped into the box and sorted for the pairs. */
KERNEL void sortPositions(int numAtoms, int paddedNumAtoms, int window, int numRows, int usedRows, int firstRow,
                          GLOBAL const double* RESTRICT positions, GLOBAL const int* RESTRICT order,
                          GLOBAL const double* RESTRICT boxes, GLOBAL real4* RESTRICT sorted) {
    GLOBAL const double* box = boxes + 9 * window;
    for (int index = GLOBAL_ID; index < usedRows * paddedNumAtoms; index += GLOBAL_SIZE) {
        const int row = index / paddedNumAtoms, slot = index - row * paddedNumAtoms;
        if (slot >= numAtoms)
            continue;
        const int atom = order[window * paddedNumAtoms + slot];
        GLOBAL const double* state = positions + 3 * ((mm_long) (firstRow + row) * numAtoms + atom);
        double x = state[0], y = state[1], z = state[2];
#ifdef USE_PERIODIC
        const double cz = floor(z / box[8]);
        x -= cz * box[6];
        y -= cz * box[7];
        z -= cz * box[8];
        const double cy = floor(y / box[4]);
        x -= cy * box[3];
        y -= cy * box[4];
        x -= floor(x / box[0]) * box[0];
#endif
        sorted[((mm_long) window * numRows + row) * paddedNumAtoms + slot] = make_real4((real) x, (real) y, (real) z, 0);
    }
}

/**
 * Of one step. SETTLE: what the pairs of the step after it have left, and the outer cotangents of its end. KICK: gv and
 * the direction a = kick gv/m. FINISH: removal of motion, the outer cotangent of v, the half kick that begins a window,
 * and |a| at its longest.
 */
KERNEL void beginStep(int phases, int numWindows, int numAtoms, int paddedNumAtoms, int numParts, int endPositionRow,
                      int endVelocityRow, int velocityRow, int numPositionRows, int numVelocityRows, int removes,
                      double keep, double gain, double kick, double startKick, GLOBAL const int* RESTRICT order,
                      GLOBAL const double* RESTRICT masses, double totalMass, GLOBAL double* RESTRICT gx,
                      GLOBAL double* RESTRICT gv, GLOBAL double* RESTRICT direction,
                      GLOBAL real4* RESTRICT sortedDirection, GLOBAL const double* RESTRICT gPositions,
                      GLOBAL const double* RESTRICT gVelocities, GLOBAL double* RESTRICT momenta,
                      GLOBAL const double* RESTRICT oldSquares, GLOBAL double* RESTRICT squares, int numCoefficients,
                      GLOBAL mm_long* RESTRICT sums, GLOBAL const double* RESTRICT sumScales,
                      GLOBAL double* RESTRICT coefficients) {
    LOCAL double buffer[GROUP];
    if ((phases & SETTLE) != 0)
        for (int k = GLOBAL_ID; k < numWindows * numCoefficients; k += GLOBAL_SIZE)
            if (sums[k] != 0) {
                coefficients[k] += sums[k] * sumScales[k % numCoefficients] *
                                   longestOf(oldSquares, k / numCoefficients, numParts);
                sums[k] = 0;
            }
    for (int unit = GROUP_ID; unit < numWindows * numParts; unit += NUM_GROUPS) {
        const int window = unit / numParts, part = unit - window * numParts;
        double mx = 0, my = 0, mz = 0, square = 0, sumX = 0, sumY = 0, sumZ = 0;
        if ((phases & FINISH) != 0 && removes)
            for (int p = 0; p < numParts; p++) {
                sumX += momenta[3 * (window * numParts + p)];
                sumY += momenta[3 * (window * numParts + p) + 1];
                sumZ += momenta[3 * (window * numParts + p) + 2];
            }
        for (int slot = part * LOCAL_SIZE + LOCAL_ID; slot < numAtoms; slot += numParts * LOCAL_SIZE) {
            const int atom = order[window * paddedNumAtoms + slot];
            const mm_long first = 3 * ((mm_long) window * numAtoms + atom);
            const double mass = masses[atom];
            const double inverseMass = mass > 0 ? 1 / mass : 0;
            double x = gx[first], y = gx[first + 1], z = gx[first + 2];
            double vx = gv[first], vy = gv[first + 1], vz = gv[first + 2];
            if ((phases & SETTLE) != 0) {
                if (endPositionRow >= 0) {
                    GLOBAL const double* added = gPositions + 3 * (((mm_long) window * numPositionRows + endPositionRow) *
                                                                   numAtoms + atom);
                    x += added[0];
                    y += added[1];
                    z += added[2];
                    gx[first] = x;
                    gx[first + 1] = y;
                    gx[first + 2] = z;
                }
                if (endVelocityRow >= 0) {
                    GLOBAL const double* added = gVelocities + 3 * (((mm_long) window * numVelocityRows + endVelocityRow) *
                                                                    numAtoms + atom);
                    vx += added[0];
                    vy += added[1];
                    vz += added[2];
                }
            }
            double ax = direction[first], ay = direction[first + 1], az = direction[first + 2];
            if ((phases & KICK) != 0) {
                vx = inverseMass > 0 ? keep * vx + gain * x : 0;
                vy = inverseMass > 0 ? keep * vy + gain * y : 0;
                vz = inverseMass > 0 ? keep * vz + gain * z : 0;
                ax = kick * inverseMass * vx;
                ay = kick * inverseMass * vy;
                az = kick * inverseMass * vz;
                mx += vx;
                my += vy;
                mz += vz;
            }
            if ((phases & FINISH) != 0) {
                if (removes && mass > 0) {
                    vx -= sumX * (mass / totalMass);
                    vy -= sumY * (mass / totalMass);
                    vz -= sumZ * (mass / totalMass);
                }
                if (velocityRow >= 0) {
                    GLOBAL const double* added = gVelocities + 3 * (((mm_long) window * numVelocityRows + velocityRow) *
                                                                    numAtoms + atom);
                    vx += added[0];
                    vy += added[1];
                    vz += added[2];
                }
                ax -= startKick * inverseMass * vx;
                ay -= startKick * inverseMass * vy;
                az -= startKick * inverseMass * vz;
                square = max(square, ax * ax + ay * ay + az * az);
                sortedDirection[window * paddedNumAtoms + slot] = make_real4((real) ax, (real) ay, (real) az, 0);
            }
            gv[first] = vx;
            gv[first + 1] = vy;
            gv[first + 2] = vz;
            direction[first] = ax;
            direction[first + 1] = ay;
            direction[first + 2] = az;
        }
        if ((phases & FINISH) != 0) {
            buffer[LOCAL_ID] = square;
            SYNC_THREADS;
            for (int offset = GROUP / 2; offset > 0; offset /= 2) {
                if (LOCAL_ID < offset)
                    buffer[LOCAL_ID] = max(buffer[LOCAL_ID], buffer[LOCAL_ID + offset]);
                SYNC_THREADS;
            }
            if (LOCAL_ID == 0)
                squares[unit] = buffer[0];
            SYNC_THREADS;
        }
        else if ((phases & KICK) != 0)
            for (int axis = 0; axis < 3; axis++) {
                const double sum = sumOverGroup(axis == 0 ? mx : axis == 1 ? my : mz, buffer);
                if (LOCAL_ID == 0)
                    momenta[3 * unit + axis] = sum;
                SYNC_THREADS;
            }
    }
}

/** OpenMM's positions: those of a state plus h a, where h moves the fastest particle by the displacement. */
KERNEL void displace(int numAtoms, int row, double displacement, int numParts, GLOBAL const double* RESTRICT positions,
                     GLOBAL const double* RESTRICT direction, GLOBAL const double* RESTRICT squares,
                     GLOBAL const int* RESTRICT atomIndex, GLOBAL real4* RESTRICT posq, GLOBAL real4* RESTRICT correction) {
    const double longest = longestOf(squares, 0, numParts);
    const double h = longest > 0 ? displacement / longest : 0;
    for (int i = GLOBAL_ID; i < numAtoms; i += GLOBAL_SIZE) {
        const int atom = atomIndex[i];
        GLOBAL const double* state = positions + 3 * ((mm_long) row * numAtoms + atom);
        const double x = state[0] + h * direction[3 * atom];
        const double y = state[1] + h * direction[3 * atom + 1];
        const double z = state[2] + h * direction[3 * atom + 2];
        posq[i] = make_real4((real) x, (real) y, (real) z, posq[i].w);
#ifdef USE_MIXED_PRECISION
        correction[i] = make_real4((real) (x - (real) x), (real) (y - (real) y), (real) (z - (real) z), 0);
#endif
    }
}

KERNEL void keepForces(int numAtoms, int paddedNumAtoms, GLOBAL const int* RESTRICT atomIndex,
                       GLOBAL const mm_long* RESTRICT forces, GLOBAL mm_long* RESTRICT kept) {
    for (int i = GLOBAL_ID; i < numAtoms; i += GLOBAL_SIZE)
        for (int axis = 0; axis < 3; axis++)
            kept[3 * atomIndex[i] + axis] = forces[i + axis * paddedNumAtoms];
}

/** gx += [F(x + h a) - F(x - h a)] / 2h: of fixed-point forces, whose difference is exact. Sites (mass < 0) have none. */
KERNEL void addForceDifference(int numAtoms, int paddedNumAtoms, double displacement, int numParts,
                               GLOBAL const int* RESTRICT atomIndex, GLOBAL const mm_long* RESTRICT forces,
                               GLOBAL const mm_long* RESTRICT kept, GLOBAL const double* RESTRICT squares,
                               GLOBAL const double* RESTRICT masses, GLOBAL double* RESTRICT gx) {
    const double scale = longestOf(squares, 0, numParts) / (2 * displacement * 0x100000000);
    for (int i = GLOBAL_ID; i < numAtoms; i += GLOBAL_SIZE) {
        const int atom = atomIndex[i];
        if (masses[atom] >= 0)
            for (int axis = 0; axis < 3; axis++)
                gx[3 * atom + axis] += scale * (double) (kept[3 * atom + axis] - forces[i + axis * paddedNumAtoms]);
    }
}

/** product = scale a . (kept - F): for a global parameter whose forces have been differenced. One group. */
KERNEL void projectForceDifference(int numAtoms, int paddedNumAtoms, double scale, int entry,
                                   GLOBAL const int* RESTRICT atomIndex, GLOBAL const mm_long* RESTRICT forces,
                                   GLOBAL const mm_long* RESTRICT kept, GLOBAL const double* RESTRICT direction,
                                   GLOBAL double* RESTRICT products) {
    LOCAL double buffer[GROUP];
    double sum = 0;
    for (int i = LOCAL_ID; i < numAtoms; i += LOCAL_SIZE)
        for (int axis = 0; axis < 3; axis++) {
            const int index = 3 * atomIndex[i] + axis;
            sum += direction[index] * (double) (kept[index] - forces[i + axis * paddedNumAtoms]);
        }
    const double total = sumOverGroup(sum, buffer);
    if (LOCAL_ID == 0)
        products[entry] += scale * total;
}

/** product -= (dU/dp)(x +- h a) / +-2h, of OpenMM's energy derivative number `column`. One group. */
KERNEL void addEnergyDerivative(int size, int numDerivatives, int column, double displacement, int numParts, int entry,
                                GLOBAL const mixed* RESTRICT derivatives, GLOBAL const double* RESTRICT squares,
                                GLOBAL double* RESTRICT products) {
    LOCAL double buffer[GROUP];
    double sum = 0;
    for (int i = column + LOCAL_ID * numDerivatives; i < size; i += LOCAL_SIZE * numDerivatives)
        sum += derivatives[i];
    const double total = sumOverGroup(sum, buffer);
    if (LOCAL_ID == 0)
        products[entry] -= total * longestOf(squares, 0, numParts) / (2 * displacement);
}
