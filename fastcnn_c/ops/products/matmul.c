/* Matrix product of two tensors that both exist only at run time, batched with broadcasting: b is packed panel by panel in
 * scratch, then the register tiles of gemm run as in a convolution. One row is multiplied with b as it lies. A constant b never comes
 * here (it is a 1x1 convolution).
 */
#include <string.h>

#include "team.h"
#include "ops/epilogue.h"

enum { ROW_FLOATS = 4096 };   /* of a product of one row, in L1 while rows of b are added to it */

size_t fc_scratch_matmul(const void *params, int threads)
{
    (void)threads;
    const fc_matmul *p = params;
    const size_t panel = fc_align_up((size_t)(p->k * p->nv * FC_MAX_VECTOR) * sizeof(float));
    return panel + fc_align_up((size_t)(FC_GEMM_MAX_MR * p->k) * sizeof(float));
}

/* panel[k][width] from columns [0, n) of b, zero filled. */
static void pack_panel(const fc_matmul *p, float *panel, const float *b, int64_t n, int64_t width)
{
    if (p->b_n == 1) {
        fc_active->depthwise->put(panel, (size_t)width, b, (size_t)p->b_k, (size_t)p->k, (size_t)n);
        for (int64_t k = 0; k < p->k && n < width; k++)
            memset(panel + k * width + n, 0, (size_t)(width - n) * sizeof *panel);
        return;
    }
    if (p->b_k == 1) {
        fc_gemm_pack_b(panel, b, n, p->k, p->b_n, 0, width / fc_active->vector_length);
        return;
    }
    if (n < width)
        memset(panel, 0, (size_t)(p->k * width) * sizeof *panel);
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = 0; k < p->k; k++)
            panel[k * width + j] = b[k * p->b_k + j * p->b_n];
}

/* Rows of a with contiguous k: where they lie, or copied to `rows`. */
static const float *contiguous_rows(const fc_matmul *p, float *rows, const float *a, int64_t mr, int64_t *lda)
{
    if (p->a_k == 1) {
        *lda = p->a_m;
        return a;
    }
    *lda = p->k;
    if (p->a_m == 1) {
        fc_active->transpose->block(rows, (size_t)p->k, a, (size_t)p->a_k, (size_t)p->k, (size_t)mr);
        return rows;
    }
    for (int64_t i = 0; i < mr; i++)
        for (int64_t k = 0; k < p->k; k++)
            rows[i * p->k + k] = a[i * p->a_m + k * p->a_k];
    return rows;
}

/* y[i][j] = bias[i]: what the tile then adds to. */
static void fill_rows(float *y, int64_t ld, const float *bias, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++)
            y[i * ld + j] = bias[i];
}

/* Panel q (nr columns) of one product of the batch. */
static void run_panel(const fc_matmul *p, float *y, const float *a, const float *b, const float *bias, int64_t q, float *scratch)
{
    const int64_t v = fc_active->vector_length, nr = p->nv * v, j0 = q * nr, n = fc_min(nr, p->n - j0), nv = fc_ceil_div(n, v);
    const int64_t max_mr = fc_active->gemm->max_mr[nv], tiles = fc_ceil_div(p->m, max_mr);
    const fc_tap zero = {0, 0};
    float *rows = (float *)((char *)scratch + fc_align_up((size_t)(p->k * p->nv * FC_MAX_VECTOR) * sizeof(float)));
    float lo, hi;
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &lo, &hi);
    pack_panel(p, scratch, b + j0 * p->b_n, n, nv * v);
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t i0 = p->m * tile / tiles, mr = p->m * (tile + 1) / tiles - i0;
        int64_t lda;
        const float *from = contiguous_rows(p, rows, a + i0 * p->a_m, mr, &lda);
        float *c = y + i0 * p->y_m + j0;
        const int by_row = bias && p->row_bias;
        if (by_row)
            fill_rows(c, p->y_m, bias + i0, mr, n);
        const fc_gemm_args args = {.c = c, .ldc = (size_t)p->y_m, .a = from, .lda = (size_t)lda, .tap = &zero, .taps = 1,
                                   .kc = (size_t)p->k, .b = scratch, .n = (size_t)n, .bias = bias && !by_row ? bias + j0 : NULL,
                                   .residual = NULL, .ldr = 0, .lo = lo, .hi = hi, .accumulate = by_row};
        fc_active->gemm->tile[nv][mr](&args);
        if (!fc_is_clamp(p->fn))
            fc_activate_rows(c, mr, (size_t)n, (size_t)p->y_m, p->fn, p->alpha, p->beta, NULL);
    }
}

/* Columns [j0, j0 + n) of a product of one row: b is read where it lies, once. */
static void run_row(const fc_matmul *p, float *y, const float *a, const float *b, const float *bias, int64_t j0, int64_t n, float *scratch)
{
    int64_t lda;
    const float *from = contiguous_rows(p, scratch, a, 1, &lda);
    y += j0;
    b += j0 * p->b_n;
    for (int64_t j = 0; j < n; j++)
        y[j] = !bias ? 0.0f : p->row_bias ? *bias : bias[j0 + j];
    if (p->b_n == 1)
        fc_active->matvec->rows(y, from, b, (size_t)p->b_k, (size_t)p->k, (size_t)n);
    else
        fc_active->matvec->dots(y, from, b, (size_t)p->b_n, (size_t)p->k, (size_t)n);
    if (p->fn != FC_FN_None)
        fc_activate_row(y, (size_t)n, p->fn, p->alpha, p->beta, NULL);
}

fc_status fc_run_matmul(const void *params, void *const *t, const fc_team *team)
{
    const fc_matmul *p = params;
    const int64_t width = p->nv * fc_active->vector_length, panels = fc_ceil_div(p->n, width);
    const int as_it_lies = p->m == 1 && (p->b_n == 1 || p->b_k == 1);
    int64_t batch = 1, begin, end, taken;
    for (int64_t d = 0; d < p->ndim; d++)
        batch *= p->shape[d];
    fc_share(team, batch * panels, &begin, &end);
    for (int64_t unit = begin; unit < end; unit += taken) {
        const int64_t panel = unit % panels;
        int64_t rest = unit / panels, y = 0, a = 0, b = 0;
        for (int64_t d = p->ndim - 1; d >= 0; d--) {
            const int64_t i = rest % p->shape[d];
            rest /= p->shape[d];
            y += i * p->y_strides[d];
            a += i * p->a_strides[d];
            b += i * p->b_strides[d];
        }
        float *const to = (float *)t[0] + y;
        const float *const left = (const float *)t[1] + a, *const right = (const float *)t[2] + b;
        taken = as_it_lies ? fc_min(fc_min(end - unit, panels - panel), fc_max(1, ROW_FLOATS / width)) : 1;
        if (as_it_lies)
            run_row(p, to, left, right, t[3], panel * width, fc_min(taken * width, p->n - panel * width), team->scratch);
        else
            run_panel(p, to, left, right, t[3], panel, team->scratch);
    }
    return FC_OK;
}
