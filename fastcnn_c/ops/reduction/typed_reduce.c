/* Reductions, running sums and running products on any dtype: the loops of elementwise/typed.c, their result one element, or one that each next element reads. */
#include <string.h>

#include "ops/elementwise/typed.h"
#include "ops/walk.h"

enum { BLOCK = 256 };

typedef struct fold_rows {
    const fc_typed_reduce *p;
    char *y;
    const char *x;
    int64_t y_step, x_step, bytes;
    fc_walk reduced;
} fold_rows;

/* n outputs: the first of the reduced elements, then the others one after the other; along a run of them when n is 1. */
static void fold_row(void *context, const int64_t *at, int64_t n)
{
    const fold_rows *r = context;
    const fc_walk *w = &r->reduced;
    const int outer = n == 1 ? w->ndim - 1 : w->ndim;
    const int64_t count = fc_walk_count(w, outer), run = n == 1 ? fc_walk_inner(w) : n;
    const int64_t run_step = n == 1 ? fc_walk_inner_stride(w, 0) : r->x_step;
    char *y = r->y + at[0] * r->bytes;
    const char *x = r->x + at[1] * r->bytes;
    const int64_t step[3] = {n == 1 ? 0 : r->y_step, n == 1 ? 0 : r->y_step, run_step};
    for (int64_t i = 0; i < n; i++)
        memcpy(y + i * r->y_step * r->bytes, x + i * r->x_step * r->bytes, (size_t)r->bytes);
    fc_cursor cursor;
    fc_cursor_seek(w, outer, 0, &cursor);
    for (int64_t k = 0; k < count; k++, fc_cursor_next(w, outer, &cursor)) {
        const char *from = x + cursor.at[0] * r->bytes;
        const int64_t skip = k > 0 ? 0 : n == 1 ? 1 : run;
        fc_typed_binary_run(r->p->op, r->p->dtype, y, y, from + skip * run_step * r->bytes, run - skip, step);
    }
}

fc_status fc_run_typed_reduce(const void *params, void *const *t, const fc_team *team)
{
    const fc_typed_reduce *p = params;
    fc_walk kept;
    fold_rows rows = {.p = p, .y = t[0], .x = t[1], .bytes = fc_dtype_bytes(p->dtype)};
    fc_walk_make(&kept, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    fc_walk_make(&rows.reduced, p->reduced_ndim, p->reduced, 1, (const int64_t *const[]){p->reduced_strides});
    rows.y_step = fc_walk_inner_stride(&kept, 0);
    rows.x_step = fc_walk_inner_stride(&kept, 1);
    fc_walk_rows(&kept, team, BLOCK, fold_row, &rows);
    return FC_OK;
}

typedef struct running_rows {
    const fc_cumsum *p;
    char *y;
    const char *x, *start;
    int64_t y_step, x_step, bytes;
} running_rows;

static void running_row(void *context, const int64_t *at, int64_t n)
{
    const running_rows *r = context;
    const fc_cumsum *p = r->p;
    const int64_t sign = p->reverse ? -1 : 1, first = p->reverse ? p->axis - 1 : 0;
    const int64_t y_next = sign * p->y_axis, x_next = sign * p->x_axis, step[3] = {y_next, y_next, x_next};
    for (int64_t i = 0; i < n; i++) {
        char *y = r->y + (at[0] + i * r->y_step + first * p->y_axis) * r->bytes;
        const char *x = r->x + (at[1] + i * r->x_step + first * p->x_axis) * r->bytes;
        if (p->exclusive)
            memcpy(y, r->start, (size_t)r->bytes);
        else
            memcpy(y, x, (size_t)r->bytes);
        fc_typed_binary_run(p->op, p->dtype, y + y_next * r->bytes, y, p->exclusive ? x : x + x_next * r->bytes, p->axis - 1, step);
    }
}

/* Columns next to each other run side by side. */
static void running_columns(void *context, const int64_t *at, int64_t n)
{
    const running_rows *r = context;
    const fc_cumsum *p = r->p;
    const int64_t sign = p->reverse ? -1 : 1, first = p->reverse ? p->axis - 1 : 0, step[3] = {1, 1, 1};
    const int64_t y_next = sign * p->y_axis * r->bytes, x_next = sign * p->x_axis * r->bytes;
    char *y = r->y + (at[0] + first * p->y_axis) * r->bytes;
    const char *x = r->x + (at[1] + first * p->x_axis) * r->bytes;
    for (int64_t i = 0; p->exclusive && i < n; i++)
        memcpy(y + i * r->bytes, r->start, (size_t)r->bytes);
    if (!p->exclusive)
        memcpy(y, x, (size_t)(n * r->bytes));
    for (int64_t i = 1; i < p->axis; i++, y += y_next)
        fc_typed_binary_run(p->op, p->dtype, y + y_next, y, x + (p->exclusive ? i - 1 : i) * x_next, n, step);
}

fc_status fc_run_cumsum(const void *params, void *const *t, const fc_team *team)
{
    const fc_cumsum *p = params;
    fc_walk kept;
    fc_walk_make(&kept, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    running_rows rows = {p, t[0], t[1], t[2], fc_walk_inner_stride(&kept, 0), fc_walk_inner_stride(&kept, 1), fc_dtype_bytes(p->dtype)};
    fc_walk_rows(&kept, team, BLOCK, rows.y_step == 1 && rows.x_step == 1 ? running_columns : running_row, &rows);
    return FC_OK;
}
