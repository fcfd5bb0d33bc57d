/* scalar: the register tiles X(mr, nv, nr), 16 registers, one a lane: up to 8 accumulators. */
#define FC_ISA scalar
#define FC_GEMM_TILES(X) \
    X(1, 1, 1) X(2, 1, 1) X(3, 1, 1) X(4, 1, 1) \
    X(1, 2, 2) X(2, 2, 2) X(3, 2, 2) X(4, 2, 2) \
    X(1, 3, 3) X(2, 3, 3) \
    X(1, 4, 4) X(2, 4, 4)
#define FC_GEMM_MAX_MRS 0, 4, 4, 2, 2
/* Pairs X(half, nv, nr): where a tile of half rows would leave much of b's rate unused. */
#define FC_GEMM_PAIRS(X) X(2, 2, 2)

/* Interleaved tiles: none, a vector of one lane has no half. */
#define FC_GEMM_INTERLEAVED(X)
/* Tiles whose last vector is half a one: none. */
#define FC_GEMM_HALVES_MR 0
#define FC_GEMM_HALVES(X)

#define FC_DEPTHWISE_ROLLED(X)

#include "../simd/scalar.h"

#include "../kernels/isa.inc"
