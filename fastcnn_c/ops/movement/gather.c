/* y[o][j][i] = x[o][indices[j]][i]: whole inner walks picked by index; elements of 1, 2, 4 or 8 bytes. */
#include <string.h>

#include "ops/walk.h"

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

/* Single elements, n of them in a row of indices; 0 when one is outside. */
static inline __attribute__((always_inline)) int pick(char *y, int64_t y_step, const char *x, int64_t x_step, const void *indices, int64_t j,
                                                      int64_t n, const fc_gather *p, const size_t elem, const int64_t index_bytes)
{
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = index_at(indices, j + k, index_bytes, p->axis);
        if (i < 0)
            return 0;
        memcpy(y + k * y_step * (int64_t)elem, x + i * x_step * (int64_t)elem, elem);
    }
    return 1;
}

/* Rows of indices [j, j + n) at one outer position. */
static int gather_run(const fc_gather *p, const fc_walk *inner, char *y, const char *x, const void *indices, int64_t j, int64_t n)
{
    const int64_t elem = p->elem_bytes, whole = inner->ndim == 1 ? fc_walk_inner(inner) : 0;
    y += j * p->y_axis * elem;
    if (whole == 1 && elem == 1 && p->index_bytes == 8)
        return pick(y, p->y_axis, x, p->x_axis, indices, j, n, p, 1, 8);
    if (whole == 1)
        return elem == 4 && p->index_bytes == 8 ? pick(y, p->y_axis, x, p->x_axis, indices, j, n, p, 4, 8)
                                                : pick(y, p->y_axis, x, p->x_axis, indices, j, n, p, (size_t)elem, p->index_bytes);
    const int dense = whole > 0 && fc_walk_inner_stride(inner, 0) == 1 && fc_walk_inner_stride(inner, 1) == 1;
    for (int64_t k = 0; k < n; k++, y += p->y_axis * elem) {
        const int64_t i = index_at(indices, j + k, p->index_bytes, p->axis);
        if (i < 0)
            return 0;
        if (dense)
            memcpy(y, x + i * p->x_axis * elem, (size_t)(whole * elem));
        else
            copy_inner(inner, y, x + i * p->x_axis * elem, elem);
    }
    return 1;
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
    for (int64_t j = begin % p->count; begin < end; j = 0) {
        const int64_t n = fc_min(p->count - j, end - begin);
        if (!gather_run(p, &inner, (char *)t[0] + cursor.at[0] * p->elem_bytes, (const char *)t[1] + cursor.at[1] * p->elem_bytes, t[2], j, n))
            return FC_ERR_INDEX;
        begin += n;
        fc_cursor_next(&outer, outer.ndim, &cursor);
    }
    return FC_OK;
}
