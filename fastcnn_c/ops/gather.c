/* y[o][j][i] = x[o][indices[j]][i]: whole inner walks picked by index; elements of 1, 2, 4 or 8 bytes. */
#include <string.h>

#include "walk.h"

/* Entry j of the index tensor, counted from the start; negative when it is outside [-axis, axis). */
static int64_t index_at(const void *indices, int64_t j, int64_t index_bytes, int64_t axis)
{
    const int64_t i = index_bytes == 4 ? ((const int32_t *)indices)[j] : ((const int64_t *)indices)[j];
    if (i >= axis || i < -axis)
        return -1;
    return i < 0 ? i + axis : i;
}

static void copy_step(char *y, int64_t y_step, const char *x, int64_t x_step, int64_t n, size_t elem)
{
    if (y_step == 1 && x_step == 1) {
        memcpy(y, x, (size_t)n * elem);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(y + i * y_step * (int64_t)elem, x + i * x_step * (int64_t)elem, elem);
}

static void copy_inner(const fc_walk *w, char *y, const char *x, int64_t elem)
{
    const int outer = w->ndim - 1;
    const int64_t count = fc_walk_count(w, outer), n = fc_walk_inner(w);
    fc_cursor cursor;
    fc_cursor_seek(w, outer, 0, &cursor);
    for (int64_t row = 0; row < count; row++, fc_cursor_next(w, outer, &cursor))
        copy_step(y + cursor.at[0] * elem, fc_walk_inner_stride(w, 0), x + cursor.at[1] * elem, fc_walk_inner_stride(w, 1), n, (size_t)elem);
}

fc_status fc_run_gather(const void *params, void *const *t, const fc_team *team)
{
    const fc_gather *p = params;
    fc_walk outer, inner;
    fc_walk_make(&outer, p->outer_ndim, p->outer_shape, 2, (const int64_t *const[]){p->y_outer, p->x_outer});
    fc_walk_make(&inner, p->inner_ndim, p->inner_shape, 2, (const int64_t *const[]){p->y_inner, p->x_inner});
    int64_t begin, end;
    fc_share(team, fc_walk_count(&outer, outer.ndim) * p->count, &begin, &end);
    if (begin >= end || fc_walk_count(&inner, inner.ndim) == 0)
        return FC_OK;
    fc_cursor cursor;
    fc_cursor_seek(&outer, outer.ndim, begin / p->count, &cursor);
    for (int64_t j = begin % p->count; begin < end; begin++) {
        const int64_t i = index_at(t[2], j, p->index_bytes, p->axis);
        if (i < 0)
            return FC_ERR_INDEX;
        copy_inner(&inner, (char *)t[0] + (cursor.at[0] + j * p->y_axis) * p->elem_bytes,
                   (const char *)t[1] + (cursor.at[1] + i * p->x_axis) * p->elem_bytes, p->elem_bytes);
        if (++j == p->count) {
            j = 0;
            fc_cursor_next(&outer, outer.ndim, &cursor);
        }
    }
    return FC_OK;
}
