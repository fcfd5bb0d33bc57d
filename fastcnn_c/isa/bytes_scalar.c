/* bytes, scalar: the register tiles X(mr, nv, nr) of 8-bit values, one lane. */
#define FC_ISA scalar
#define FC_QGEMM_TILES(X) \
    X(1, 1, 1) X(2, 1, 1) X(3, 1, 1) X(4, 1, 1) \
    X(1, 2, 2) X(2, 2, 2) X(3, 2, 2) X(4, 2, 2) \
    X(1, 3, 3) X(2, 3, 3) X(3, 3, 3) X(4, 3, 3) \
    X(1, 4, 4) X(2, 4, 4) X(3, 4, 4) X(4, 4, 4)
#define FC_QGEMM_MAX_MRS 0, 4, 4, 4, 4

#include "../simd/scalar.h"

#include "../simd/dot_scalar.h"

#include "../simd/lookup_scalar.h"

#include "../kernels/bytes.inc"
