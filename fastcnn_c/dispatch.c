/* Dispatch: selects the instruction set whose kernels run; and the lists of names that Python reads. */
#include "kernels/kernels.h"

#include <string.h>

#define FC_NAME_ROW(name) #name,
const char *const fc_unary_names[] = {FC_UNARY_LIST(FC_NAME_ROW) NULL};
const char *const fc_binary_names[] = {FC_BINARY_LIST(FC_NAME_ROW) NULL};
const char *const fc_typed_binary_names[] = {FC_TYPED_BINARY_LIST(FC_NAME_ROW) NULL};
const char *const fc_typed_unary_names[] = {FC_TYPED_UNARY_LIST(FC_NAME_ROW) NULL};
const char *const fc_reduce_names[] = {FC_REDUCE_LIST(FC_NAME_ROW) NULL};

const char *const fc_dtype_names[FC_DTYPE_COUNT + 1] = {
    [FC_F32] = "float32", [FC_F64] = "float64", [FC_I8] = "int8", [FC_I16] = "int16", [FC_I32] = "int32", [FC_I64] = "int64",
    [FC_U8] = "uint8", [FC_U16] = "uint16", [FC_U32] = "uint32", [FC_U64] = "uint64", [FC_BOOL] = "bool", [FC_F16] = "float16"};
const char *const fc_pool_names[] = {[FC_POOL_MAX] = "max", [FC_POOL_AVERAGE] = "average", [FC_POOL_LP] = "lp", NULL};

const fc_kernels *fc_active = &fc_kernels__scalar;
const fc_bytes *fc_active_bytes = &fc_bytes__scalar;
static fc_isa active_isa = FC_ISA_SCALAR;

/* What the build has of a level: setup.py says. */
#if FC_HAVE_X86
#define FC_X86(pointer) (pointer)
#else
#define FC_X86(pointer) NULL
#endif
#if FC_HAVE_AVX2_VNNI
#define FC_AVX2_VNNI(pointer) (pointer)
#else
#define FC_AVX2_VNNI(pointer) NULL
#endif
#if FC_HAVE_AVX512_VNNI
#define FC_AVX512_VNNI(pointer) (pointer)
#else
#define FC_AVX512_VNNI(pointer) NULL
#endif

#if FC_HAVE_AVX512_AMX
#define FC_AVX512_AMX(pointer) (pointer)
#else
#define FC_AVX512_AMX(pointer) NULL
#endif

/* Lowest first. A sub-level has the floats of its instruction set and better kernels of bytes; NULL: the build lacks it. */
static const struct {
    const char *name;
    int is_sublevel;
    const fc_kernels *floats;
    const fc_bytes *bytes;
} levels[FC_ISA_COUNT] = {
    [FC_ISA_SCALAR] = {"scalar", 0, &fc_kernels__scalar, &fc_bytes__scalar},
    [FC_ISA_AVX2] = {"avx2", 0, FC_X86(&fc_kernels__avx2), FC_X86(&fc_bytes__avx2)},
    [FC_ISA_AVX2_VNNI] = {"avx2_vnni", 1, FC_AVX2_VNNI(&fc_kernels__avx2), FC_AVX2_VNNI(&fc_bytes__avx2_vnni)},
    [FC_ISA_AVX512] = {"avx512", 0, FC_X86(&fc_kernels__avx512), FC_X86(&fc_bytes__avx512)},
    [FC_ISA_AVX512_VNNI] = {"avx512_vnni", 1, FC_AVX512_VNNI(&fc_kernels__avx512), FC_AVX512_VNNI(&fc_bytes__avx512_vnni)},
    [FC_ISA_AVX512_AMX] = {"avx512_amx", 1, FC_AVX512_AMX(&fc_kernels__avx512), FC_AVX512_AMX(&fc_bytes__avx512_amx)},
};

/* Every flag that setup.py compiles the set with (tests/test_cpu.py compares). */
int fc_isa_available(fc_isa isa)
{
    const fc_cpu *cpu = fc_cpu_info();
    if (isa < 0 || isa >= FC_ISA_COUNT || levels[isa].floats == NULL)
        return 0;
    switch (isa) {
    case FC_ISA_AVX512_AMX: return fc_isa_available(FC_ISA_AVX512_VNNI) && cpu->amx_int8 && fc_may_use_tiles();
    case FC_ISA_AVX512_VNNI: return fc_isa_available(FC_ISA_AVX512) && cpu->avx512_vnni;
    case FC_ISA_AVX512: return cpu->avx512f && cpu->avx512dq && cpu->avx512bw && cpu->avx512vl && cpu->avx2 && cpu->fma && cpu->f16c;
    case FC_ISA_AVX2_VNNI: return fc_isa_available(FC_ISA_AVX2) && cpu->avx_vnni;
    case FC_ISA_AVX2: return cpu->avx2 && cpu->fma && cpu->f16c;
    default: return 1;
    }
}

#if FC_HAVE_TABLE_AVX512_VBMI
void fc_table_u8__avx512_vbmi(uint8_t *y, size_t ldy, const uint8_t *x, size_t ldx, size_t rows, size_t n, const uint8_t *table);
#endif

/* VBMI is younger than VNNI, and the lookup is the one kernel that wants it. */
fc_table_kernel fc_active_table(void)
{
#if FC_HAVE_TABLE_AVX512_VBMI
    if ((active_isa == FC_ISA_AVX512_VNNI || active_isa == FC_ISA_AVX512_AMX) && fc_cpu_info()->avx512_vbmi)
        return fc_table_u8__avx512_vbmi;
#endif
    return fc_active_bytes->table;
}

/* AVX2 and AVX-512 without BF16 have no products of pairs: float32 is as fast there and rounds nothing. */
const fc_pairs *fc_active_pairs(void)
{
#if FC_HAVE_PAIRS_AVX512_AMX
    if (active_isa == FC_ISA_AVX512_AMX && fc_cpu_info()->amx_bf16 && fc_cpu_info()->avx512_bf16)
        return &fc_pairs__avx512_amx;
#endif
#if FC_HAVE_PAIRS_AVX512_BF16
    if (active_isa >= FC_ISA_AVX512_VNNI && fc_cpu_info()->avx512_bf16)
        return &fc_pairs__avx512_bf16;
#endif
    return active_isa == FC_ISA_SCALAR ? &fc_pairs__scalar : NULL;
}

int fc_set_isa(fc_isa isa)
{
    if (!fc_isa_available(isa))
        return 0;
    fc_active = levels[isa].floats;
    fc_active_bytes = levels[isa].bytes;
    active_isa = isa;
    return 1;
}

fc_isa fc_current_isa(void) { return active_isa; }
const char *fc_isa_name(fc_isa isa) { return isa >= 0 && isa < FC_ISA_COUNT ? levels[isa].name : NULL; }
int fc_isa_is_sublevel(fc_isa isa) { return isa >= 0 && isa < FC_ISA_COUNT && levels[isa].is_sublevel; }

const char *fc_kernel_name(fc_isa isa, size_t index)
{
    if (isa < 0 || isa >= FC_ISA_COUNT || levels[isa].floats == NULL)
        return NULL;
    size_t floats = 0;
    while (!levels[isa].is_sublevel && levels[isa].floats->names[floats])
        floats++;
    return index < floats ? levels[isa].floats->names[index] : levels[isa].bytes->names[index - floats];
}

int64_t fc_vector_length(void) { return fc_active->vector_length; }

int64_t fc_gemm_max_nv(void) { return FC_GEMM_MAX_NV; }

int64_t fc_gemm_max_mr(int64_t nv)
{
    return nv >= 1 && nv <= FC_GEMM_MAX_NV ? fc_active->gemm->max_mr[nv] : 0;
}

int64_t fc_qgemm_max_mr(int64_t nv)
{
    return nv >= 1 && nv <= FC_GEMM_MAX_NV ? fc_active_bytes->qgemm->max_mr[nv] : 0;
}

int64_t fc_qwide_max_mr(int64_t nv)
{
    return nv >= 1 && nv <= FC_GEMM_MAX_NV && fc_active_bytes->qwide ? fc_active_bytes->qwide->max_mr[nv] : 0;
}

int64_t fc_qgemm_turns(int64_t nv) { return nv == FC_TURNS_NV && fc_active_bytes->qgemm->turns ? FC_TURNS_MR : 0; }

int64_t fc_gemm_pair(int64_t ow)
{
    return ow >= 1 && ow <= FC_GEMM_MAX_MR / 2 && fc_active->gemm->pair[ow] ? FC_GEMM_PAIR_NV : 0;
}

int64_t fc_pgemm_max_mr(int64_t nv)
{
    const fc_pairs *pairs = fc_active_pairs();
    return pairs && nv >= 1 && nv <= FC_GEMM_MAX_NV ? pairs->max_mr[nv] : 0;
}

int fc_pgemm_odd_runs(void)
{
    const fc_pairs *pairs = fc_active_pairs();
    return pairs && pairs->odd_runs;
}

int fc_pgemm_halves(void)
{
    const fc_pairs *pairs = fc_active_pairs();
    return pairs && pairs->half[1][1];
}
