/* bytes, avx2_vnni: AVX2 with dot products of bytes. The register tiles X(mr, nv, nr), 16 registers: sums + nv of b + 1 of a. */
#define FC_ISA avx2_vnni
#define FC_QGEMM_TILES(X) \
    X(1, 1, 8) X(2, 1, 8) X(3, 1, 8) X(4, 1, 8) X(5, 1, 8) X(6, 1, 8) X(7, 1, 8) X(8, 1, 8) X(9, 1, 8) X(10, 1, 8) X(11, 1, 8) X(12, 1, 8) \
    X(1, 2, 16) X(2, 2, 16) X(3, 2, 16) X(4, 2, 16) X(5, 2, 16) X(6, 2, 16) \
    X(1, 3, 24) X(2, 3, 24) X(3, 3, 24) X(4, 3, 24) \
    X(1, 4, 32) X(2, 4, 32)
#define FC_QGEMM_MAX_MRS 0, 12, 6, 4, 2

#include "../simd/avx2.h"

#include "../simd/dot_avx2_vnni.h"

#include "../simd/lookup_avx2.h"

#include "../kernels/bytes.inc"
