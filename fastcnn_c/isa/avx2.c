/* avx2: the register tiles X(mr, nv, nr), 16 registers: accumulators + nv of b + 1 of a. */
#define FC_ISA avx2
#define FC_GEMM_TILES(X) \
    X(1, 1, 8) X(2, 1, 8) X(3, 1, 8) X(4, 1, 8) X(5, 1, 8) X(6, 1, 8) X(7, 1, 8) X(8, 1, 8) \
    X(9, 1, 8) X(10, 1, 8) X(11, 1, 8) X(12, 1, 8) \
    X(1, 2, 16) X(2, 2, 16) X(3, 2, 16) X(4, 2, 16) X(5, 2, 16) X(6, 2, 16) \
    X(1, 3, 24) X(2, 3, 24) X(3, 3, 24) X(4, 3, 24) \
    X(1, 4, 32) X(2, 4, 32)
#define FC_GEMM_MAX_MRS 0, 12, 6, 4, 2
/* Pairs X(half, nv, nr): where a tile of half rows would leave much of b's rate unused. */
#define FC_GEMM_PAIRS(X) X(2, 2, 16) X(3, 2, 16)
/* Interleaved tiles X(mr, nv, nr): groups of one and a half vectors, two as one. */
#define FC_GEMM_INTERLEAVED(X) X(1, 3, 24) X(2, 3, 24) X(3, 3, 24) X(4, 3, 24)
/* Tiles whose last vector is half a one: none, half a vector takes as long as a whole one. */
#define FC_GEMM_HALVES_MR 0
#define FC_GEMM_HALVES(X)

#define FC_DEPTHWISE_ROLLED(X)

#include "../simd/avx2.h"

#include "../kernels/isa.inc"
