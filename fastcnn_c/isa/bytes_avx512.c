/* bytes, avx512: the register tiles X(mr, nv, nr) of 8-bit values, 32 registers: sums, the quads of b and the four of a, which take
 * two each without dot products. */
#define FC_ISA avx512
#define FC_QGEMM_TILES(X) \
    X(1, 1, 16) X(2, 1, 16) X(3, 1, 16) X(4, 1, 16) X(5, 1, 16) X(6, 1, 16) X(7, 1, 16) X(8, 1, 16) X(9, 1, 16) X(10, 1, 16) X(11, 1, 16) X(12, 1, 16) \
    X(1, 2, 32) X(2, 2, 32) X(3, 2, 32) X(4, 2, 32) X(5, 2, 32) X(6, 2, 32) X(7, 2, 32) X(8, 2, 32) X(9, 2, 32) X(10, 2, 32) \
    X(1, 3, 48) X(2, 3, 48) X(3, 3, 48) X(4, 3, 48) X(5, 3, 48) X(6, 3, 48) \
    X(1, 4, 64) X(2, 4, 64) X(3, 4, 64) X(4, 4, 64)
#define FC_QGEMM_MAX_MRS 0, 12, 10, 6, 4

#include "../simd/avx512.h"

#include "../simd/dot_avx512.h"

#include "../simd/lookup_avx512.h"

#include "../kernels/bytes.inc"
