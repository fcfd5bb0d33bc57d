/* bytes, avx512_amx: AVX-512 with dot products of bytes, and products of whole tiles of them. The register tiles X(mr, nv, nr). */
#define FC_ISA avx512_amx
#define FC_QGEMM_TILES(X) FC_TILES_OF_AMX(X)
#define FC_QGEMM_MAX_MRS FC_MAX_MRS_OF_AMX

#include "tiles_avx512.h"

#include "../simd/avx512.h"

#include "../simd/dot_avx512_vnni.h"

#include "../simd/lookup_avx512.h"

#include "../simd/tile_amx.h"

#define FC_HAVE_TILES 1
#include "../kernels/bytes.inc"
