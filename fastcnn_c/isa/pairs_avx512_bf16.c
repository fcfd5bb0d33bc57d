/* bfloat16 pairs, avx512_bf16: AVX-512 with dot products of them. The register tiles X(mr, nv, nr), 32 registers: sums + nv of b + 1 of a. */
#define FC_ISA avx512_bf16
#define FC_PGEMM_TILES(X) \
    X(1, 1, 16) X(2, 1, 16) X(3, 1, 16) X(4, 1, 16) X(5, 1, 16) X(6, 1, 16) X(7, 1, 16) X(8, 1, 16) X(9, 1, 16) X(10, 1, 16) X(11, 1, 16) X(12, 1, 16) X(13, 1, 16) X(14, 1, 16) \
    X(1, 2, 32) X(2, 2, 32) X(3, 2, 32) X(4, 2, 32) X(5, 2, 32) X(6, 2, 32) X(7, 2, 32) X(8, 2, 32) X(9, 2, 32) X(10, 2, 32) X(11, 2, 32) X(12, 2, 32) X(13, 2, 32) X(14, 2, 32) \
    X(1, 3, 48) X(2, 3, 48) X(3, 3, 48) X(4, 3, 48) X(5, 3, 48) X(6, 3, 48) X(7, 3, 48) X(8, 3, 48) X(9, 3, 48) \
    X(1, 4, 64) X(2, 4, 64) X(3, 4, 64) X(4, 4, 64) X(5, 4, 64) X(6, 4, 64)
#define FC_PGEMM_MAX_MRS 0, 14, 14, 9, 6

#include "../simd/avx512.h"

#include "../simd/pairs_avx512.h"

#include "../kernels/pairs.inc"
