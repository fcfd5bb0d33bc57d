/* y = fn(x; alpha, beta), fp32. */
#include "kernels/kernels.h"
#include "ops/walk.h"

/* Floats of a piece: input and output stay in a 32 KB L1. */
enum { BLOCK = 2048, STRIDED_BLOCK = 256 };

typedef struct unary_rows {
    const fc_unary *p;
    fc_unary_kernel kernel;
    float *y;
    const float *x;
    int64_t y_step, x_step;
} unary_rows;

static void contiguous_row(void *context, const int64_t *at, int64_t n)
{
    const unary_rows *r = context;
    r->kernel(r->y + at[0], r->x + at[1], 1, (size_t)n, 0, r->p->alpha, r->p->beta);
}

static void strided_row(void *context, const int64_t *at, int64_t n)
{
    const unary_rows *r = context;
    float block[STRIDED_BLOCK];
    fc_pack_row(block, r->x + at[1], r->x_step, n);
    r->kernel(block, block, 1, (size_t)n, 0, r->p->alpha, r->p->beta);
    fc_unpack_row(r->y + at[0], r->y_step, block, n);
}

fc_status fc_run_unary(const void *params, void *const *t, const fc_team *team)
{
    const fc_unary *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    unary_rows rows = {p, fc_active->unary[p->fn], t[0], t[1], fc_walk_inner_stride(&walk, 0), fc_walk_inner_stride(&walk, 1)};
    if (rows.y_step == 1 && rows.x_step == 1)
        fc_walk_rows(&walk, team, BLOCK, contiguous_row, &rows);
    else
        fc_walk_rows(&walk, team, STRIDED_BLOCK, strided_row, &rows);
    return FC_OK;
}
