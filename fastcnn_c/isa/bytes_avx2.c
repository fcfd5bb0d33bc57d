/* bytes, avx2: the register tiles X(mr, nv, nr) of 8-bit values, 16 registers: sums, the quads of b and the four of a, which take
 * two each without dot products. */
#define FC_ISA avx2
#define FC_QGEMM_TILES(X) \
    X(1, 1, 8) X(2, 1, 8) X(3, 1, 8) X(4, 1, 8) X(5, 1, 8) X(6, 1, 8) X(7, 1, 8) X(8, 1, 8) \
    X(1, 2, 16) X(2, 2, 16) X(3, 2, 16)
#define FC_QGEMM_MAX_MRS 0, 8, 3, 0, 0
/* The same over operands of 16 bits: sums, pairs of b and a, a product. */
#define FC_QWIDE_TILES(X) \
    X(1, 1, 8) X(2, 1, 8) X(3, 1, 8) X(4, 1, 8) X(5, 1, 8) X(6, 1, 8) X(7, 1, 8) X(8, 1, 8) \
    X(1, 2, 16) X(2, 2, 16) X(3, 2, 16) X(4, 2, 16) X(5, 2, 16) X(6, 2, 16) X(1, 3, 24) X(2, 3, 24) X(3, 3, 24) X(4, 3, 24)
#define FC_QWIDE_MAX_MRS 0, 8, 6, 4, 0

#include "../simd/avx2.h"

#include "../simd/dot_avx2.h"

#include "../simd/lookup_avx2.h"

#include "../kernels/bytes.inc"
