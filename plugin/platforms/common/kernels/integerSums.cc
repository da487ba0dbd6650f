// SPDX-License-Identifier: MIT
// Sums in integers, the same in any order. With LOCAL_SUMS, sums by coefficient are kept in local memory, as two words of
// 32 bits each, low then high: words have fast atomics there.

#ifdef __OPENCL_VERSION__
    #define LOCAL_ADD(address, value) atomic_add(address, value)
#else
    #define LOCAL_ADD(address, value) atomicAdd(address, value)
#endif

DEVICE mm_long toInteger(real value, real scale) {
    const real largest = 2.88230376e17f;   // 2^58: what is too large for its scale stays finite
    return (mm_long) rint(fmax(-largest, fmin(largest, value*scale)));
}

#ifdef LOCAL_SUMS
DEVICE void addToSum(LOCAL_ARG unsigned int* sums, int index, mm_long value) {
    const unsigned int low = (unsigned int) value;
    const unsigned int before = LOCAL_ADD(&sums[2*index], low);
    const unsigned int high = (unsigned int) (value >> 32)+(before+low < low ? 1 : 0);
    if (high != 0)
        LOCAL_ADD(&sums[2*index+1], high);
}
#else
DEVICE void addToSum(GLOBAL mm_ulong* sums, int index, mm_long value) { ATOMIC_ADD(&sums[index], (mm_ulong) value); }
#endif

