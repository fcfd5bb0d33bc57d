/* Pooling over windows: max, average, Lp. Each output row is left edge, middle, right edge; only the middle's windows are all
 * alike.
 *
 * Windows are clipped to the image before a kernel sees them: padding never wins a maximum and adds nothing to a sum. What it
 * does is count in the divisor of an average when include_pad says so, up to the padded extent and no further (windows that
 * ceil_mode lets hang over the padding count only what is there).
 */
#include <float.h>
#include <math.h>

#include "clip.h"
#include "ops/epilogue.h"
#include "share.h"

static fc_pool_kernel choose_kernel(const fc_pool *p, int64_t rows)
{
    const fc_pool_kernels *kernels = fc_active->pool;
    if (p->kind == FC_POOL_LP || rows == 0)
        return kernels->window[p->kind];
    if (p->kw == 2 && rows == 2)
        return kernels->square[p->kind];
    if (p->kw == 3 && p->dw == 1 && p->sw <= 2)
        return kernels->columns[p->kind][p->sw - 1];
    return kernels->window[p->kind];
}

/* The p-th root of what the kernel summed, where it is neither the sum nor its square root. */
static void take_root(const fc_pool *p, const fc_pool_args *a)
{
    const float root = 1.0f / p->p;
    if (p->kind == FC_POOL_LP && p->p > 2.0f)
        for (size_t i = 0; i < a->count; i++)
            fc_active->binary[FC_BIN_Pow][FC_VS](a->y + i * a->y_pixel, a->y + i * a->y_pixel, &root, a->n);
}

/* The Lp norm of channel c of output i in double, one tap after the other. */
static float wide_norm(const fc_pool *p, const fc_pool_args *a, size_t i, size_t c)
{
    double total = 0.0;
    for (size_t r = 0; r < a->rows; r++)
        for (size_t k = 0; k < a->cols; k++) {
            const float v = a->x[i * a->x_step + r * a->x_row + k * a->x_col + c];
            total += v == 0.0f ? 0.0 : pow(fabs((double)v), (double)p->p);
        }
    return total == 0.0 ? 0.0f : (float)pow(total, 1.0 / (double)p->p);
}

/* Norms whose powers float32 could not hold. 0 is among them: powers that vanished, or all zeros. */
static void mend_norms(const fc_pool *p, const fc_pool_args *a)
{
    const float least = p->kind == FC_POOL_LP ? powf((float)FC_LEAST_SQUARES, 1.0f / p->p) : 0.0f;
    for (size_t i = 0; p->kind == FC_POOL_LP && i < a->count; i++) {
        float *y = a->y + i * a->y_pixel;
        const fc_reduce_kernels *reduce = fc_active->reduce;
        if (reduce->row[FC_ACC_Min](y, a->n, 0.0f) >= least && reduce->row[FC_ACC_Max](y, a->n, 0.0f) <= FLT_MAX)
            continue;
        for (size_t c = 0; c < a->n; c++)
            if (!(y[c] >= least && y[c] <= FLT_MAX))
                y[c] = wide_norm(p, a, i, c);
    }
}

/* Outputs [begin, end) of a row that share the window `column` (an edge: one output; the middle: all). */
static void run_columns(const fc_pool *p, fc_pool_args *a, fc_pool_kernel kernel, const float *x, float *y, int64_t begin,
                        int64_t end, const fc_clip *row)
{
    const int64_t start = begin * p->sw - p->pl;
    const fc_clip column = fc_clip_window(start, p->kw, p->dw, p->iw, p->pl, p->pr, p->include_pad);
    a->cols = row->taps ? (size_t)column.taps : 0;
    a->rows = column.taps ? (size_t)row->taps : 0;
    a->x = a->rows ? x + (start + column.first * p->dw) * p->x_pixel : x;
    a->y = y + begin * p->y_pixel;
    a->count = (size_t)(end - begin);
    a->scale = 1.0f / (float)fc_max(row->counted * column.counted, 1);
    kernel(a);
    take_root(p, a);
    mend_norms(p, a);
}

/* Channels [c0, c1) of output row oy. */
static void run_row(const fc_pool *p, const float *x, float *y, int64_t oy, int64_t c0, int64_t c1)
{
    const int64_t start = oy * p->sh - p->pt;
    const fc_clip row = fc_clip_window(start, p->kh, p->dh, p->ih, p->pt, p->pb, p->include_pad);
    const fc_pool_kernel edge = fc_active->pool->window[p->kind];
    fc_pool_args a = {.y_pixel = (size_t)p->y_pixel,
                      .x_step = (size_t)(p->sw * p->x_pixel),
                      .x_row = (size_t)(p->dh * p->x_row),
                      .x_col = (size_t)(p->dw * p->x_pixel),
                      .n = (size_t)(c1 - c0),
                      .p = (size_t)p->p};
    int64_t begin, end;
    fc_middle_columns(p->ow, p->iw, p->kw, p->sw, p->dw, p->pl, &begin, &end);
    x += c0 + (row.taps ? (start + row.first * p->dh) * p->x_row : 0);
    y += c0 + oy * p->y_row;
    for (int64_t ox = 0; ox < begin; ox++)
        run_columns(p, &a, edge, x, y, ox, ox + 1, &row);
    if (begin < end)
        run_columns(p, &a, choose_kernel(p, row.taps), x, y, begin, end, &row);
    for (int64_t ox = end; ox < p->ow; ox++)
        run_columns(p, &a, edge, x, y, ox, ox + 1, &row);
}

fc_status fc_run_pool(const void *params, void *const *t, const fc_team *team)
{
    const fc_pool *p = params;
    const fc_pool_part part = fc_pool_share(team, p->n * p->oh, p->c, fc_active->vector_length);
    if (part.c0 < part.c1)
        for (int64_t i = part.begin; i < part.end; i++)
            run_row(p, (const float *)t[1] + i / p->oh * p->x_image, (float *)t[0] + i / p->oh * p->y_image, i % p->oh, part.c0, part.c1);
    return FC_OK;
}
