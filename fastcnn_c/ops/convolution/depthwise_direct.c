/* Depthwise convolution of stride 2 without copies: row by row, all channels of a few pixels at a time, so that memory is read
 * in the order it lies in. Windows that stick out are clipped to the taps inside: single outputs at the left and right, whole
 * rows of taps at the top and bottom.
 */
#include "depthwise.h"
#include "ops/epilogue.h"

/* Taps [*first, *first + count) of a window at `start` that lie inside the extent; returns count. */
static int64_t clip_taps(int64_t start, int64_t taps, int64_t dilation, int64_t extent, int64_t *first)
{
    *first = start < 0 ? fc_ceil_div(-start, dilation) : 0;
    const int64_t end = start >= extent ? 0 : fc_min(taps, (extent - start - 1) / dilation + 1);
    return fc_max(end - *first, 0);
}

/* What tiles leave to be done, rounding included. */
static void activate(const fc_depthwise *p, const fc_depthwise_direct_args *a, const float *table)
{
    if (a->slope || fc_is_clamp(p->fn))
        return;
    const int dense = a->y_pixel == a->n;
    for (size_t j = 0; j < (dense ? 1 : a->count); j++)
        fc_activate_row(a->y + j * a->y_pixel, dense ? a->count * a->n : a->n, p->fn, p->alpha, p->beta, NULL);
    for (size_t j = 0; table && j < (dense ? 1 : a->count); j++)
        fc_activate_row(a->y + j * a->y_pixel, dense ? a->count * a->n : a->n, p->fn, p->alpha, p->beta, table);
}

/* Outputs [begin, end) of the row that `row` describes at its column 0: x points at input column 0. */
static void run_columns(const fc_depthwise *p, const fc_depthwise_direct_args *row, fc_depthwise_direct_kernel kernel,
                        const float *table, int64_t begin, int64_t end)
{
    fc_depthwise_direct_args a = *row;
    int64_t first;
    const int64_t start = begin * p->sw - p->pl;
    a.cols = (size_t)clip_taps(start, p->kw, 1, p->iw, &first);
    a.rows = a.cols ? row->rows : 0;
    a.x = a.rows ? row->x + (start + first) * p->x_pixel : row->x;
    a.w = row->w + first * (int64_t)row->w_col;
    a.y = row->y + begin * p->y_pixel;
    a.residual = row->residual ? row->residual + begin * p->r_pixel : NULL;
    a.count = (size_t)(end - begin);
    kernel(&a);
    activate(p, &a, table);
}

/* Channels [c0, c1) of output row oy of an image. */
static void run_row(const fc_depthwise *p, void *const *t, int64_t image, int64_t oy, int64_t c0, int64_t c1)
{
    const float *bias = t[3], *residual = t[4], *slope = t[5];
    const fc_depthwise_kernels *kernels = fc_active->depthwise;
    int64_t first;
    const int64_t start = oy * p->sh - p->pt, rows = clip_taps(start, p->kh, p->dh, p->ih, &first);
    const int64_t middle = fc_min(p->ow, fc_max(0, fc_ceil_div(p->pl, p->sw)));
    const int64_t last = p->iw - p->kw + p->pl; /* where the last window inside starts, counted from the first */
    const int64_t right = last < 0 ? middle : fc_max(middle, fc_min(p->ow, last / p->sw + 1));
    fc_depthwise_direct_args a = {.y_pixel = (size_t)p->y_pixel,
                                  .x_row = (size_t)(p->dh * p->x_row),
                                  .x_pixel = (size_t)p->x_pixel,
                                  .w_row = (size_t)(p->kw * p->c),
                                  .w_col = (size_t)p->c,
                                  .rows = (size_t)rows,
                                  .n = (size_t)(c1 - c0),
                                  .r_pixel = (size_t)p->r_pixel,
                                  .bias = bias ? bias + c0 : NULL,
                                  .slope = fc_is_prelu(p->fn, slope) ? slope + c0 : NULL};
    const float *table = a.slope ? NULL : slope;
    fc_clamp_bounds(fc_tile_fn(p->fn, slope), p->alpha, p->beta, &a.lo, &a.hi);
    a.x = (const float *)t[1] + image * p->x_image + (rows ? (start + first * p->dh) * p->x_row : 0) + c0;
    a.w = (const float *)t[2] + (rows ? first * p->kw * p->c : 0) + c0;
    a.y = (float *)t[0] + image * p->y_image + oy * p->y_row + c0;
    a.residual = residual ? residual + image * p->r_image + oy * p->r_row + c0 : NULL;
    for (int64_t ox = 0; ox < middle; ox++)
        run_columns(p, &a, kernels->edge, table, ox, ox + 1);
    if (middle < right)
        run_columns(p, &a, kernels->direct[(p->kw - 3) / 2], table, middle, right);
    for (int64_t ox = right; ox < p->ow; ox++)
        run_columns(p, &a, kernels->edge, table, ox, ox + 1);
}

/* Threads share rows, or vectors of channels where rows are few. */
void fc_run_depthwise_direct(const fc_depthwise *p, void *const *t, const fc_team *team)
{
    const int64_t v = fc_active->vector_length;
    int64_t begin = 0, end = p->n * p->oh, c0 = 0, c1 = fc_ceil_div(p->c, v);
    if (end >= 4 * team->count)
        fc_share(team, end, &begin, &end);
    else
        fc_share(team, c1, &c0, &c1);
    c0 *= v;
    c1 = fc_min(c1 * v, p->c);
    for (int64_t i = begin; i < end && c0 < c1; i++)
        run_row(p, t, i / p->oh, i % p->oh, c0, c1);
}
