/* avx512: the register tiles X(mr, nv, nr), 32 registers: accumulators + nv of b + 1 of a. */
#define FC_ISA avx512
#define FC_GEMM_TILES(X) FC_TILES_OF_32(X)
#define FC_GEMM_MAX_MRS FC_MAX_MRS_OF_32
/* Pairs X(half, nv, nr): where a tile of half rows would leave much of b's rate unused. */
#define FC_GEMM_PAIRS(X) X(4, 2, 32) X(5, 2, 32) X(6, 2, 32) X(7, 2, 32)
/* Interleaved tiles X(mr, nv, nr): groups of one and a half vectors, two as one. */
#define FC_GEMM_INTERLEAVED(X) X(1, 3, 48) X(2, 3, 48) X(3, 3, 48) X(4, 3, 48) X(5, 3, 48) X(6, 3, 48) X(7, 3, 48) X(8, 3, 48) X(9, 3, 48)
/* Tiles X(mr, nv, nr) whose last vector is half a one: where a core adds one product of 512 bits or two of 256 a cycle.
 * One and a half vectors are three halves in so many rows. k 72, one thread of an EPYC Zen 4: 9 rows 114 GFLOP/s, with a whole and a half vector 9
 * or 14 rows 104, with two whole ones 86; two and a half vectors 114, three 95. */
#define FC_GEMM_HALVES_MR 9
#define FC_GEMM_HALVES(X) \
    X(1, 1, 8) X(2, 1, 8) X(3, 1, 8) X(4, 1, 8) X(5, 1, 8) X(6, 1, 8) X(7, 1, 8) \
    X(8, 1, 8) X(9, 1, 8) X(10, 1, 8) X(11, 1, 8) X(12, 1, 8) X(13, 1, 8) X(14, 1, 8) \
    X(1, 2, 24) X(2, 2, 24) X(3, 2, 24) X(4, 2, 24) X(5, 2, 24) X(6, 2, 24) X(7, 2, 24) \
    X(8, 2, 24) X(9, 2, 24) X(10, 2, 24) X(11, 2, 24) X(12, 2, 24) X(13, 2, 24) X(14, 2, 24) \
    X(1, 3, 40) X(2, 3, 40) X(3, 3, 40) X(4, 3, 40) X(5, 3, 40) X(6, 3, 40) X(7, 3, 40) \
    X(8, 3, 40) X(9, 3, 40) \
    X(1, 4, 56) X(2, 4, 56) X(3, 4, 56) X(4, 4, 56) X(5, 4, 56) X(6, 4, 56)

/* Depthwise windows X(size) that roll over the rows of a band; with 16 registers 3x3 took 1.1 to 1.6 times as long so. */
#define FC_DEPTHWISE_ROLLED(X) X(3) X(5)

#include "tiles_avx512.h"

#include "../simd/avx512.h"

#include "../kernels/isa.inc"
