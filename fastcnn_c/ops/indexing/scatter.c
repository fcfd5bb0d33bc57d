/* Elements picked and placed by tensors of indices: GatherElements, ScatterElements, GatherND, ScatterND, OneHot.
 *
 * Indices are int64 or int32; negative ones count from the end; any other outside the data is FC_ERR_INDEX. Where several
 * updates meet, they apply in order, so scatters run on one thread.
 */
#include <string.h>

#include "ops/elementwise/typed.h"
#include "ops/walk.h"

enum { BLOCK = 2048 };

/* Index i of the tensor, counted from the start; negative when it is outside [-extent, extent). */
static int64_t index_at(const void *indices, int64_t i, int64_t index_bytes, int64_t extent)
{
    const int64_t k = index_bytes == 4 ? ((const int32_t *)indices)[i] : ((const int64_t *)indices)[i];
    if (k >= extent || k < -extent)
        return -1;
    return k < 0 ? k + extent : k;
}

typedef struct element_rows {
    const fc_gather_elements *p;
    char *y;
    const char *x;
    const void *indices;
    int64_t step[3];
    fc_status status;
} element_rows;

static inline __attribute__((always_inline)) void gather_elements(element_rows *r, const int64_t *at, int64_t n, const int64_t bytes,
                                                                  const int64_t index_bytes)
{
    const int64_t extent = r->p->axis, x_axis = r->p->x_axis * bytes, y_step = r->step[0] * bytes, x_step = r->step[2] * bytes;
    const int64_t index_step = r->step[1];
    const void *const indices = r->indices;
    char *y = r->y + at[0] * bytes;
    const char *x = r->x + at[2] * bytes;
    for (int64_t i = 0; i < n; i++, y += y_step, x += x_step) {
        const int64_t k = index_at(indices, at[1] + i * index_step, index_bytes, extent);
        if (k < 0) {
            r->status = FC_ERR_INDEX;
            return;
        }
        memcpy(y, x + k * x_axis, (size_t)bytes);
    }
}

static void gather_row(void *context, const int64_t *at, int64_t n)
{
    element_rows *r = context;
    if (r->p->elem_bytes == 4 && r->p->index_bytes == 8)
        gather_elements(r, at, n, 4, 8);
    else
        gather_elements(r, at, n, r->p->elem_bytes, r->p->index_bytes);
}

fc_status fc_run_gather_elements(const void *params, void *const *t, const fc_team *team)
{
    const fc_gather_elements *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->i_strides, p->x_strides});
    element_rows rows = {.p = p, .y = t[0], .x = t[1], .indices = t[2]};
    for (int k = 0; k < 3; k++)
        rows.step[k] = fc_walk_inner_stride(&walk, k);
    fc_walk_rows(&walk, team, BLOCK, gather_row, &rows);
    return rows.status;
}

/* y = update, or y (op) update, n elements. */
static void place(char *y, const char *update, int64_t n, int64_t bytes, int64_t op, int64_t dtype)
{
    const int64_t step[3] = {1, 1, 1};
    if (op < 0)
        memcpy(y, update, (size_t)(n * bytes));
    else
        fc_typed_binary_run(op, dtype, y, y, update, n, step);
}

fc_status fc_run_scatter_elements(const void *params, void *const *t, const fc_team *team)
{
    const fc_scatter_elements *p = params;
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    fc_walk walk;
    fc_cursor cursor;
    (void)team;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->u_strides, p->y_strides});
    fc_cursor_seek(&walk, walk.ndim, 0, &cursor);
    for (int64_t i = fc_walk_count(&walk, walk.ndim); i > 0; i--, fc_cursor_next(&walk, walk.ndim, &cursor)) {
        const int64_t k = index_at(t[1], cursor.at[0], p->index_bytes, p->axis);
        if (k < 0)
            return FC_ERR_INDEX;
        place((char *)t[0] + (cursor.at[1] + k * p->y_axis) * bytes, (const char *)t[2] + cursor.at[0] * bytes, 1, bytes, p->op, p->dtype);
    }
    return FC_OK;
}

/* Offset in its batch of the slice that a tuple names, negative when it is outside. */
static int64_t slice_at(const void *indices, int64_t tuple, int64_t index_bytes, int64_t depth, const int64_t *extents, const int64_t *strides)
{
    int64_t offset = 0;
    for (int64_t j = 0; j < depth; j++) {
        const int64_t k = index_at(indices, tuple * depth + j, index_bytes, extents[j]);
        if (k < 0)
            return -1;
        offset += k * strides[j];
    }
    return offset;
}

fc_status fc_run_gather_nd(const void *params, void *const *t, const fc_team *team)
{
    const fc_gather_nd *p = params;
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    int64_t begin, end;
    fc_share(team, p->tuples, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t from = slice_at(t[2], i, p->index_bytes, p->depth, p->extents, p->strides), batch = i / p->per_batch * p->batch_stride;
        if (from < 0)
            return FC_ERR_INDEX;
        memcpy((char *)t[0] + i * p->slice * bytes, (const char *)t[1] + (batch + from) * bytes, (size_t)(p->slice * bytes));
    }
    return FC_OK;
}

fc_status fc_run_scatter_nd(const void *params, void *const *t, const fc_team *team)
{
    const fc_scatter_nd *p = params;
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    (void)team;
    for (int64_t i = 0; i < p->tuples; i++) {
        const int64_t to = slice_at(t[1], i, p->index_bytes, p->depth, p->extents, p->strides), batch = i / p->per_batch * p->batch_stride;
        if (to < 0)
            return FC_ERR_INDEX;
        place((char *)t[0] + (batch + to) * bytes, (const char *)t[2] + i * p->slice * bytes, p->slice, bytes, p->op, p->dtype);
    }
    return FC_OK;
}

/* y[o][d][i] = values[1] where indices[o][i] names d, else values[0]; indices outside name nothing. */
/* One value, n times. */
static void fill(char *y, const char *value, int64_t n, int64_t bytes)
{
    if (bytes == 4) {
        uint32_t word;
        memcpy(&word, value, 4);
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)(void *)y)[i] = word;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(y + i * bytes, value, (size_t)bytes);
}

fc_status fc_run_one_hot(const void *params, void *const *t, const fc_team *team)
{
    const fc_one_hot *p = params;
    const int64_t *indices = t[1], bytes = p->elem_bytes;
    const char *off = t[2], *on = off + bytes;
    int64_t begin, end;
    fc_share(team, p->outer * p->inner, &begin, &end);
    while (begin < end) {        /* positions [i, i + n) of one outer index: `off` at every depth, then the `on` of each */
        const int64_t i = begin % p->inner, n = fc_min(p->inner - i, end - begin);
        char *y = (char *)t[0] + (begin / p->inner * p->depth * p->inner + i) * bytes;
        for (int64_t d = 0; d < p->depth; d++)
            fill(y + d * p->inner * bytes, off, n, bytes);
        for (int64_t k = 0; k < n; k++) {
            const int64_t index = indices[begin + k], d = index < 0 ? index + p->depth : index;
            if (d >= 0 && d < p->depth)
                memcpy(y + (d * p->inner + k) * bytes, on, (size_t)bytes);
        }
        begin += n;
    }
    return FC_OK;
}
