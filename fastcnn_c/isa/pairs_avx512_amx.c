/* bfloat16 pairs, avx512_amx: products of whole tiles of them. The register tiles X(mr, nv, nr). */
#define FC_ISA avx512_amx
#define FC_ROWS(X, nv, nr) X(1, nv, nr) X(2, nv, nr) X(3, nv, nr) X(4, nv, nr) X(5, nv, nr) X(6, nv, nr) X(7, nv, nr) X(8, nv, nr) \
    X(9, nv, nr) X(10, nv, nr) X(11, nv, nr) X(12, nv, nr) X(13, nv, nr) X(14, nv, nr) X(15, nv, nr) X(16, nv, nr)
#define FC_PGEMM_TILES(X) FC_ROWS(X, 1, 16) FC_ROWS(X, 2, 32) FC_ROWS(X, 3, 48) FC_ROWS(X, 4, 64)
#define FC_PGEMM_MAX_MRS 0, 16, 16, 16, 16

#include "../simd/avx512.h"

#include "../simd/pairs_avx512.h"

#include "../simd/tile_amx.h"

#define FC_HAVE_TILES 1
#include "../kernels/pairs.inc"
