/* Strided walks: see walk.h. */
#include "ops/walk.h"

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

static void swap_dims(fc_walk *w, int d, int e)
{
    const int64_t size = w->shape[d];
    w->shape[d] = w->shape[e];
    w->shape[e] = size;
    for (int k = 0; k < w->operands; k++) {
        const int64_t stride = w->stride[k][d];
        w->stride[k][d] = w->stride[k][e];
        w->stride[k][e] = stride;
    }
}

/* Largest stride of operand 0 outermost; stable, so equal strides (a reduced walk's zeros) keep their order. */
static void order_dims(fc_walk *w)
{
    for (int d = 1; d < w->ndim; d++)
        for (int e = d; e > 0 && magnitude(w->stride[0][e - 1]) < magnitude(w->stride[0][e]); e--)
            swap_dims(w, e - 1, e);
}

static int one_walk(const fc_walk *w, int outer, int inner)
{
    for (int k = 0; k < w->operands; k++)
        if (w->stride[k][outer] != w->stride[k][inner] * w->shape[inner])
            return 0;
    return 1;
}

static void merge_dims(fc_walk *w)
{
    int last = 0;
    for (int d = 1; d < w->ndim; d++) {
        const int merge = one_walk(w, last, d);
        w->shape[d] *= merge ? w->shape[last] : 1;
        last += !merge;
        w->shape[last] = w->shape[d];
        for (int k = 0; k < w->operands; k++)
            w->stride[k][last] = w->stride[k][d];
    }
    w->ndim = last + 1;
}

void fc_walk_make(fc_walk *walk, int64_t ndim, const int64_t *shape, int operands, const int64_t *const *strides)
{
    walk->ndim = 0;
    walk->operands = operands;
    for (int64_t d = 0; d < ndim; d++) {
        if (shape[d] == 1)
            continue;
        walk->shape[walk->ndim] = shape[d];
        for (int k = 0; k < operands; k++)
            walk->stride[k][walk->ndim] = strides[k][d];
        walk->ndim++;
    }
    if (walk->ndim == 0) {   /* a single element */
        walk->ndim = 1;
        walk->shape[0] = 1;
        for (int k = 0; k < operands; k++)
            walk->stride[k][0] = 1;
        return;
    }
    order_dims(walk);
    merge_dims(walk);
}

void fc_walk_rows(const fc_walk *walk, const fc_team *team, int64_t block, fc_row_fn fn, void *context)
{
    const int outer = walk->ndim - 1;
    const int64_t n = fc_walk_inner(walk), blocks = fc_ceil_div(n, block);
    int64_t begin, end;
    fc_share(team, fc_walk_count(walk, outer) * blocks, &begin, &end);
    if (begin >= end)
        return;
    fc_cursor cursor;
    fc_cursor_seek(walk, outer, begin / blocks, &cursor);
    for (int64_t piece = begin % blocks; begin < end; begin++) {
        int64_t at[FC_WALK_OPERANDS];
        for (int k = 0; k < walk->operands; k++)
            at[k] = cursor.at[k] + piece * block * walk->stride[k][outer];
        fn(context, at, fc_min(block, n - piece * block));
        if (++piece == blocks) {
            piece = 0;
            fc_cursor_next(walk, outer, &cursor);
        }
    }
}

int64_t fc_walk_merge_repeated(fc_walk *walk, int k)
{
    const int inner = walk->ndim - 1, outer = inner - 1;
    if (outer < 0 || walk->stride[k][inner] != 1 || walk->stride[k][outer] != 0)
        return 0;
    const int64_t n = walk->shape[inner];
    for (int o = 0; o < walk->operands; o++)
        if (o != k && (walk->stride[o][inner] != 1 || walk->stride[o][outer] != n))
            return 0;
    walk->ndim--;
    walk->shape[outer] *= n;
    for (int o = 0; o < walk->operands; o++)
        walk->stride[o][outer] = o != k;
    return n;
}

void fc_pack_row(float *block, const float *x, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        block[i] = x[i * step];
}

void fc_unpack_row(float *y, int64_t step, const float *block, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i * step] = block[i];
}
