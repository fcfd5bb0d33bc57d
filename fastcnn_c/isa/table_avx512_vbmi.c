/* The lookup of bytes for processors with AVX-512 VBMI, which dispatch.c asks for: the other kernels have no use for it. */
#define FC_ISA avx512_vbmi

#include "../simd/avx512.h"

#include "../simd/dot_sums512.h"

#include "../simd/lookup_avx512_vbmi.h"

#include "../kernels/kernels.h"

#include "../kernels/names.inc"

#define FC_TABLE_SCOPE
#include "../kernels/table.inc"
