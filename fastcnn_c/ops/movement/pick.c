/* y[pixel][j] = x[pixel][channel[j]]: a selection of channels in a fixed order, channels-last. */
#include "kernels/kernels.h"
#include "ops/walk.h"

/* Pixels of a piece. */
enum { BLOCK = 64 };

typedef struct pick_rows {
    const fc_pick *p;
    float *y;
    const float *x;
    const int32_t *table;
    size_t y_pixel, x_pixel;
} pick_rows;

static void pixels(void *context, const int64_t *at, int64_t n)
{
    const pick_rows *r = context;
    fc_active->transpose->pick(r->y + at[0], r->y_pixel, r->x + at[1], r->x_pixel, (size_t)r->p->channels,
                                r->table, (size_t)n, (size_t)r->p->n);
}

fc_status fc_run_pick(const void *params, void *const *t, const fc_team *team)
{
    const fc_pick *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    pick_rows rows = {p, t[0], t[1], t[2], (size_t)fc_walk_inner_stride(&walk, 0), (size_t)fc_walk_inner_stride(&walk, 1)};
    fc_walk_rows(&walk, team, BLOCK, pixels, &rows);
    return FC_OK;
}
