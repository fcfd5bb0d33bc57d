/* What an instruction set provides: one struct of microkernels a family, one fc_kernels an instruction set.
 *
 * Kernels know pointers, counts and strides (in elements); no shape, no thread, no allocation. They never read or write outside
 * what they are told: tails are masked. Names follow README.md: fc_<family>_<dtype>_<tile>__<isa>.
 */
#ifndef FC_KERNELS_H
#define FC_KERNELS_H

#include "../fastcnn.h"

/* Register tiles: vectors and rows of the largest, and of tiles of their own. */
enum { FC_GEMM_PAIR_NV = 2, FC_GEMM_INTERLEAVED_NV = 3, FC_GEMM_MAX_NV = 4, FC_GEMM_MAX_MR = 14, FC_MAX_VECTOR = 16 };

#include "bytes.h"
#include "pairs.h"

/* What happens to an output within its bounds: nothing, once to the nearest integer, or then times a ratio and within other bounds to the
 * nearest again. All bounds are integers then, less than 2^22 from 0. A residual is added before all that; by gemm and winograd, with two
 * roundings, between them, times r_ratio: products and sum each rounded to float32. */
typedef struct fc_rounding {
    int times;
    float ratio, r_ratio, lo, hi;
} fc_rounding;

/* ---- gemm: one register tile of an implicit GEMM -------------------------------------------------------------------------
 * c[i][j] = min(max(init[i][j] + sum_t sum_k a[i*lda + tap[t].a + k] * b[(tap[t].k + k)*ldb + j] + residual[i][j], lo), hi), rounded
 *
 *   i < mr (fixed by the kernel), j < n, (nv-1)*V_LEN < n <= nv*V_LEN, k < kc, t < taps
 *   b     packed panel: rows of ldb = nv*V_LEN floats, FC_ALIGN aligned (fc_gemm_pack_b)
 *   init  bias[j] when bias is not NULL, c[i][j] when accumulate, else 0
 * A pair is a tile of 2*half rows: rows from half on start a_second, c_second, r_second after the first, then go on by lda, ldc, ldr.
 * A interleaved tile computes two groups whose channels alternate in a and in b: for even j the sum is over a[.. + 2k], for odd j over
 * a[.. + 2k + 1]; c, bias and residual have one group after the other, so nv*V_LEN/2 columns each.
 * A half tile has n <= (nv-1)*V_LEN + V_LEN/2 and multiplies half of the last vector.
 * The tiles after the first, `more` of them, continue its rows: tile u has rows u*mr to (u+1)*mr of a, c and residual.
 * Registers: mr*nv accumulators + nv of b + 1 of a.
 */
typedef struct fc_tap {
    int64_t a;               /* offset of a run of k from args.a */
    int64_t k;               /* the row of b it starts at */
} fc_tap;

typedef struct fc_gemm_args {
    float *c;
    size_t ldc, gap;         /* gap: floats left out between one vector of a row and the next */
    const float *a;
    size_t lda;
    const fc_tap *tap;       /* the contiguous runs of k, those that only meet padding left out */
    size_t taps, kc;
    const float *b;
    size_t n;
    const float *bias;       /* or NULL */
    const float *residual;   /* or NULL */
    size_t ldr;
    float lo, hi;
    fc_rounding rounding;
    int accumulate;
    size_t more;             /* tiles after the first; pairs have none */
    const void *prefetch;    /* the weights needed next: each step of k asks for the line here and goes prefetch_step bytes on */
    size_t prefetch_step;    /* 0 with prefetch NULL: nothing is asked for */
    size_t a_second, c_second, r_second;   /* pairs: how far the second half of the rows starts after the first, in a, c and residual */
} fc_gemm_args;

typedef void (*fc_gemm_kernel)(const fc_gemm_args *args);

typedef struct fc_gemm_kernels {
    fc_gemm_kernel tile[FC_GEMM_MAX_NV + 1][FC_GEMM_MAX_MR + 1];   /* [nv][mr], NULL where the registers do not suffice */
    fc_gemm_kernel half[FC_GEMM_MAX_NV + 1][FC_GEMM_MAX_MR + 1];   /* the same, or NULL where there are none */
    int max_mr[FC_GEMM_MAX_NV + 1];
    int halves_mr;           /* the tallest tile of one and a half vectors that is as fast as others */
    fc_gemm_kernel pair[FC_GEMM_MAX_MR / 2 + 1];                   /* [half], FC_GEMM_PAIR_NV vectors wide: 2 runs of half rows; or NULL */
    fc_gemm_kernel interleaved[FC_GEMM_MAX_MR + 1];                      /* [mr], FC_GEMM_INTERLEAVED_NV vectors wide; or NULL */
} fc_gemm_kernels;

/* ---- unary: y[r][i] = fn(x[r][i]; alpha, beta), rows ld apart in both; y may be x ----------------------------------------- */
typedef void (*fc_unary_kernel)(float *y, const float *x, size_t rows, size_t n, size_t ld, float alpha, float beta);

/* ---- binary: y[i] = op(a[i], b[i]); VS: b is one value, SV: a is; y may be an operand ----------------------------------- */
typedef void (*fc_binary_kernel)(float *y, const float *a, const float *b, size_t n);
enum { FC_VV = 0, FC_VS = 1, FC_SV = 2, FC_BINARY_MODES = 3 };

/* A sum of squares from here on is that of numbers whose squares have all their digits, but for those too small to count: below it, and
 * above float's range, norms and variances are made in double. */
#define FC_LEAST_SQUARES 0x1p-100
/* So many times a variance is the squared mean at most whose rounding in float32 does not count in it (by 4e-9): beyond it, too. */
#define FC_MOST_OFFSET 0x1p20
static inline int fc_plain_moments(double mean, double variance, double epsilon)
{
    return variance + epsilon >= FC_LEAST_SQUARES && variance < 0x1p127 && mean * mean <= FC_MOST_OFFSET * (variance + epsilon);
}

#include "families.h"

typedef struct fc_kernels {
    int vector_length;
    const char *const *names;   /* of every microkernel, NULL at the end */
    const fc_gemm_kernels *gemm;
    fc_unary_kernel unary[FC_UNARY_COUNT];
    fc_binary_kernel binary[FC_BINARY_COUNT][FC_BINARY_MODES];
    FC_FAMILIES(FC_FAMILY_SLOT)
} fc_kernels;

extern const fc_kernels fc_kernels__scalar, fc_kernels__avx2, fc_kernels__avx512;

/* The kernels of 8-bit values. There are more levels of these: some instruction sets have sub-levels with dot products of bytes. */
typedef struct fc_bytes {
    const char *const *names;
    const fc_qgemm_kernels *qgemm;
    const fc_qwide_kernels *qwide;      /* or NULL */
    const fc_quantise_kernels *quantise;
    const fc_dequantise_kernels *dequantise;
    fc_table_kernel table;
    fc_qbinary_kernel qadd, qmul, qprelu;
    fc_qaffine_kernel qaffine;
    const fc_qpack_kernels *qpack;
    fc_round_sum_kernel round_sum;
    fc_round_product_kernel round_product;
    fc_lookup_kernel lookup;
    const fc_qpool_kernels *qpool;
    const fc_qdepthwise_kernels *qdepthwise;
} fc_bytes;

extern const fc_bytes fc_bytes__scalar, fc_bytes__avx2, fc_bytes__avx2_vnni, fc_bytes__avx512, fc_bytes__avx512_vnni, fc_bytes__avx512_amx;

extern const fc_pairs fc_pairs__scalar, fc_pairs__avx512_bf16, fc_pairs__avx512_amx;

/* The kernels in use: dispatch.c sets it at load from cpuid and FASTCNN_ISA. */
extern const fc_kernels *fc_active;
extern const fc_bytes *fc_active_bytes;
const fc_pairs *fc_active_pairs(void);      /* NULL where floats are as fast */
fc_table_kernel fc_active_table(void);      /* their lookup, or a better one that their level does not ask the CPU for */

#endif
