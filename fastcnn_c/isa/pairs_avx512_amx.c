/* bfloat16 pairs, avx512_amx: products of whole tiles of them. The register tiles X(mr, nv, nr). */
#define FC_ISA avx512_amx
#define FC_PGEMM_TILES(X) FC_TILES_OF_AMX(X)
#define FC_PGEMM_HALVES(X)
#define FC_PGEMM_MAX_MRS FC_MAX_MRS_OF_AMX

#include "tiles_avx512.h"

#include "../simd/avx512.h"

#include "../simd/pairs_avx512.h"

#include "../simd/tile_amx.h"

#define FC_HAVE_TILES 1
#include "../kernels/pairs.inc"
