/* bytes, avx512_vnni: AVX-512 with dot products of bytes. The register tiles X(mr, nv, nr), 32 registers: sums + nv of b + 1 of a. */
#define FC_ISA avx512_vnni
#define FC_QGEMM_TILES(X) FC_TILES_OF_32(X)
#define FC_QGEMM_MAX_MRS FC_MAX_MRS_OF_32
#define FC_QGEMM_TAKES_TURNS

#include "tiles_avx512.h"

#include "../simd/avx512.h"

#include "../simd/dot_avx512_vnni.h"

#include "../simd/lookup_avx512.h"

#include "../kernels/bytes.inc"
