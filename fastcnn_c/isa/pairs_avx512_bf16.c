/* bfloat16 pairs, avx512_bf16: AVX-512 with dot products of them. The register tiles X(mr, nv, nr), 32 registers: sums + nv of b + 1 of a. */
#define FC_ISA avx512_bf16
#define FC_PGEMM_TILES(X) FC_TILES_OF_32(X)
#define FC_PGEMM_HALVES(X) FC_TILES_OF_32(X)
#define FC_PGEMM_MAX_MRS FC_MAX_MRS_OF_32

#include "tiles_avx512.h"

#include "../simd/avx512.h"

#include "../simd/pairs_avx512.h"

#include "../kernels/pairs.inc"
