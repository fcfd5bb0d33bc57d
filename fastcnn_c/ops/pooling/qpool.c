/* Pooling of 8-bit values: max and average. Windows are clipped to the image, as in pool.c: padding is a real 0, which adds nothing to a sum of
 * x - zero, and never wins a maximum.
 */
#include "clip.h"
#include "kernels/kernels.h"
#include "share.h"

/* Outputs [begin, end) of a row that share the window `column` (an edge: one output; the middle: all). */
static void run_columns(const fc_qpool *p, fc_qpool_args *a, const uint8_t *x, uint8_t *y, int64_t begin, int64_t end, const fc_clip *row)
{
    const int64_t start = begin * p->sw - p->pl;
    const fc_clip column = fc_clip_window(start, p->kw, p->dw, p->iw, p->pl, p->pr, p->include_pad);
    a->cols = row->taps ? (size_t)column.taps : 0;
    a->rows = column.taps ? (size_t)row->taps : 0;
    a->x = a->rows ? x + (start + column.first * p->dw) * p->x_pixel : x;
    a->y = y + begin * p->y_pixel;
    a->count = (size_t)(end - begin);
    if (p->kind == FC_POOL_MAX) {
        fc_active_bytes->qpool->max(a);
        return;
    }
    a->offset = (int32_t)(-p->x_zero * (int64_t)(a->rows * a->cols));
    a->factor = p->factor / (float)fc_max(row->counted * column.counted, 1);
    fc_active_bytes->qpool->average(a);
}

/* Channels [c0, c1) of output row oy. */
static void run_row(const fc_qpool *p, const uint8_t *x, uint8_t *y, int64_t oy, int64_t c0, int64_t c1)
{
    const int64_t start = oy * p->sh - p->pt;
    const fc_clip row = fc_clip_window(start, p->kh, p->dh, p->ih, p->pt, p->pb, p->include_pad);
    fc_qpool_args a = {.y_pixel = (size_t)p->y_pixel, .x_step = (size_t)(p->sw * p->x_pixel), .x_row = (size_t)(p->dh * p->x_row),
                       .x_col = (size_t)(p->dw * p->x_pixel), .n = (size_t)(c1 - c0), .zero = (int32_t)p->zero};
    int64_t begin, end;
    fc_middle_columns(p->ow, p->iw, p->kw, p->sw, p->dw, p->pl, &begin, &end);
    x += c0 + (row.taps ? (start + row.first * p->dh) * p->x_row : 0);
    y += c0 + oy * p->y_row;
    for (int64_t ox = 0; ox < begin; ox++)
        run_columns(p, &a, x, y, ox, ox + 1, &row);
    if (begin < end)
        run_columns(p, &a, x, y, begin, end, &row);
    for (int64_t ox = end; ox < p->ow; ox++)
        run_columns(p, &a, x, y, ox, ox + 1, &row);
}

fc_status fc_run_qpool(const void *params, void *const *t, const fc_team *team)
{
    const fc_qpool *p = params;
    const fc_pool_part part = fc_pool_share(team, p->n * p->oh, p->c, 4 * fc_active->vector_length);
    if (part.c0 < part.c1)
        for (int64_t i = part.begin; i < part.end; i++)
            run_row(p, (const uint8_t *)t[1] + i / p->oh * p->x_image, (uint8_t *)t[0] + i / p->oh * p->y_image, i % p->oh, part.c0, part.c1);
    return FC_OK;
}
