/* Table lookup of bytes with AVX-512 VBMI, the only kernel that uses this extension; dispatch.c picks it where the CPU has VBMI. */
#define FC_ISA avx512_vbmi

#include "../simd/avx512.h"

#include "../simd/dot_sums512.h"

#include "../simd/lookup_avx512_vbmi.h"

#include "../kernels/kernels.h"

#include "../kernels/names.inc"

#define FC_TABLE_SCOPE
#include "../kernels/table.inc"
