/* avx512: the register tiles X(mr, nv, nr), 32 registers: accumulators + nv of b + 1 of a. */
#define FC_ISA avx512
#define FC_GEMM_TILES(X) FC_TILES_OF_32(X)
#define FC_GEMM_MAX_MRS FC_MAX_MRS_OF_32
/* Pairs X(half, nv, nr): where a tile of half rows would leave much of b's rate unused. */
#define FC_GEMM_PAIRS(X) X(4, 2, 32) X(5, 2, 32) X(6, 2, 32) X(7, 2, 32)
/* Interleaved tiles X(mr, nv, nr): groups of one and a half vectors, two as one. */
#define FC_GEMM_INTERLEAVED(X) X(1, 3, 48) X(2, 3, 48) X(3, 3, 48) X(4, 3, 48) X(5, 3, 48) X(6, 3, 48) X(7, 3, 48) X(8, 3, 48) X(9, 3, 48)

#include "tiles_avx512.h"

#include "../simd/avx512.h"

#include "../kernels/isa.inc"
