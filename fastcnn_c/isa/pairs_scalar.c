/* bfloat16 pairs, scalar: the register tiles X(mr, nv, nr), one lane. */
#define FC_ISA scalar
#define FC_PGEMM_TILES(X) X(1, 1, 1) X(2, 1, 1) X(3, 1, 1) X(4, 1, 1) X(1, 2, 2) X(2, 2, 2) X(3, 2, 2) X(4, 2, 2)
#define FC_PGEMM_HALVES(X)
#define FC_PGEMM_MAX_MRS 0, 4, 4, 0, 0

#include "../simd/scalar.h"

#include "../simd/pairs_scalar.h"

#include "../kernels/pairs.inc"
