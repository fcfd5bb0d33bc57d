/* Kernels of products of bfloat16 pairs: 16-bit floats with the exponent of float32, summed in float32. kernels.h has the words used here. */
#ifndef FC_PAIRS_H
#define FC_PAIRS_H

/* ---- pgemm: one register tile of an implicit GEMM of bfloat16 values -----------------------------------------------------------------
 * c(i, j) = min(max(bias[j] + sum_t sum_k a(i, t, k) * b[(t*(words + odd) + k/2)*2*ldb + 2*j + k%2] + residual[i*ldr + j], lo), hi)
 *
 *   a(i, t, k)  bfloat16 number k at a + i*lda + run[t] bytes, k < 2*words + odd; odd: 0, or 1 where odd_runs says so
 *   i < mr (fixed by the kernel), j < n, (nv-1)*V_LEN < n <= nv*V_LEN, t < runs; c and residual have ldc and ldr values from row to row, floats or
 *   bfloat16 (c_half, r_half); c has `gap` values between the vectors of a row
 *   b           packed: words of ldb = nv*V_LEN pairs, the second number of an odd run's last pair 0
 *   bias, residual: or NULL
 *   prefetch    or NULL: memory needed next; each word of k asks for the line here and goes prefetch_step bytes on (not with AMX)
 * Products are exact, sums float32's in an order of the kernel's; denormals may count as 0.
 */
typedef struct fc_pgemm_args {
    void *c;
    size_t ldc, gap;
    const uint8_t *a;
    size_t lda;
    const int64_t *run;
    size_t runs, words, odd;
    const uint16_t *b;
    size_t n;
    const float *bias;
    const void *residual;
    size_t ldr;
    int c_half, r_half;
    float lo, hi;
    const char *prefetch;
    size_t prefetch_step;
    uint32_t *shape;            /* as in fc_qgemm_args */
} fc_pgemm_args;

typedef void (*fc_pgemm_kernel)(const fc_pgemm_args *args);

typedef struct fc_pairs {
    const char *const *names;
    fc_pgemm_kernel tile[FC_GEMM_MAX_NV + 1][FC_QGEMM_MAX_MR + 1];
    /* the same, and the same bits, where n <= (nv-1)*V_LEN + V_LEN/2: half a vector less to multiply; or NULL */
    fc_pgemm_kernel half[FC_GEMM_MAX_NV + 1][FC_QGEMM_MAX_MR + 1];
    int max_mr[FC_GEMM_MAX_NV + 1];
    void (*release)(void);      /* as in fc_qgemm_kernels */
    int odd_runs;               /* whether tiles take runs of an odd length */
    /* y[r*ldy + i] = x[r*ldx + i] as bfloat16, rounded to nearest even, i < n, r < rows; times scale[i] first unless that is NULL */
    void (*narrow)(uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n, const float *scale);
    void (*widen)(float *y, size_t ldy, const uint16_t *x, size_t ldx, size_t rows, size_t n);    /* the other way */
} fc_pairs;

#endif
