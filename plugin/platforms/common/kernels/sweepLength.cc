// SPDX-License-Identifier: MIT

/** The longest direction of a window, from the largest squares of its parts. */
DEVICE double longestOf(GLOBAL const double* squares, int window, int numParts) {
    double square = 0;
    for (int part = 0; part < numParts; part++)
        square = max(square, squares[window * numParts + part]);
    return sqrt(square);
}
