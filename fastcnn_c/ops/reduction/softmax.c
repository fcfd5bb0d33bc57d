/* Softmax and LogSoftmax along one axis, fp32. */
#include "kernels/kernels.h"
#include "ops/walk.h"

/* Rows a thread takes at a time; columns normalised side by side when the axis is strided. */
enum { ROWS = 16, COLUMNS = 64 };

typedef struct softmax_rows {
    const fc_softmax *p;
    float *y;
    const float *x;
    int64_t y_step, x_step;
} softmax_rows;

static void contiguous_axis(void *context, const int64_t *at, int64_t n)
{
    const softmax_rows *r = context;
    for (int64_t i = 0; i < n; i++)
        fc_active->softmax->row[r->p->log != 0](r->y + at[0] + i * r->y_step, r->x + at[1] + i * r->x_step, (size_t)r->p->axis);
}

static void contiguous_columns(void *context, const int64_t *at, int64_t n)
{
    const softmax_rows *r = context;
    fc_active->softmax->columns[r->p->log != 0](r->y + at[0], (size_t)r->p->y_axis, r->x + at[1], (size_t)r->p->x_axis,
                                                (size_t)r->p->axis, (size_t)n);
}

static void each_column(void *context, const int64_t *at, int64_t n)
{
    const softmax_rows *r = context;
    for (int64_t i = 0; i < n; i++) {
        const int64_t one[2] = {at[0] + i * r->y_step, at[1] + i * r->x_step};
        contiguous_columns(context, one, 1);
    }
}

fc_status fc_run_softmax(const void *params, void *const *t, const fc_team *team)
{
    const fc_softmax *p = params;
    if (p->axis == 0)
        return FC_OK;
    fc_walk kept;
    fc_walk_make(&kept, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    softmax_rows rows = {p, t[0], t[1], fc_walk_inner_stride(&kept, 0), fc_walk_inner_stride(&kept, 1)};
    if (p->x_axis == 1 && p->y_axis == 1)
        fc_walk_rows(&kept, team, ROWS, contiguous_axis, &rows);
    else if (rows.y_step == 1 && rows.x_step == 1)
        fc_walk_rows(&kept, team, COLUMNS, contiguous_columns, &rows);
    else
        fc_walk_rows(&kept, team, ROWS, each_column, &rows);
    return FC_OK;
}

size_t fc_scratch_softmax(const void *params, int threads)
{
    (void)params;
    (void)threads;
    return 0;
}
