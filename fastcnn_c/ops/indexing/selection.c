/* The largest or smallest along an axis, on any dtype: their index (ArgMax, ArgMin) or the k best in order (TopK).
 *
 * Elements are compared as int64 keys in the same order; smallest ones by the complement of the key. -0 equals 0, NaN is the
 * largest number. fp32 ArgMax and ArgMin have kernels of their own.
 */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/dtypes.h"
#include "ops/walk.h"

enum { KEYS = 256, ROWS = 16, COLUMNS = 256 };   /* keys made at a time; rows and columns of a thread's turn */
enum { EXACT_INDEX = 1 << 24 };                  /* the kernels count in floats */

typedef struct ranked {
    int64_t key, index;
} ranked;

static inline int64_t key_F32(float v)
{
    const float positive = v + 0.0f;
    int32_t bits;
    memcpy(&bits, &positive, sizeof bits);
    return v != v ? INT32_MAX : bits < 0 ? bits ^ INT32_MAX : bits;
}

static inline int64_t key_F64(double v)
{
    const double positive = v + 0.0;
    int64_t bits;
    memcpy(&bits, &positive, sizeof bits);
    return v != v ? INT64_MAX : bits < 0 ? bits ^ INT64_MAX : bits;
}

static inline int64_t key_U64(uint64_t v) { return (int64_t)(v ^ ((uint64_t)1 << 63)); }
static inline int64_t key_I64(int64_t v) { return v; }
static inline int64_t key_I32(int32_t v) { return v; }
static inline int64_t key_U32(uint32_t v) { return v; }
static inline int64_t key_I16(int16_t v) { return v; }
static inline int64_t key_U16(uint16_t v) { return v; }
static inline int64_t key_I8(int8_t v) { return v; }
static inline int64_t key_U8(uint8_t v) { return v; }

#define KEY_CASE(dtype, type) \
    case FC_##dtype: for (int64_t i = 0; i < n; i++) keys[i] = key_##dtype(((const type *)x)[i * step]) ^ flip; break;

/* keys[i] of x[i*step], i < n; flip is 0, or -1 for the opposite order. */
static void order_keys(int64_t *keys, const void *x, int64_t step, int64_t n, int64_t dtype, int64_t flip)
{
    switch (dtype) {
    FC_INTEGER_DTYPES(KEY_CASE) FC_FLOAT_DTYPES(KEY_CASE)
    default: for (int64_t i = 0; i < n; i++) keys[i] = ((const uint8_t *)x)[i * step] ^ flip; break;
    }
}

typedef struct arg_rows {
    const fc_arg *p;
    int64_t *y;
    const char *x;
    int64_t y_step, x_step, bytes;
} arg_rows;

static int64_t best_index(const fc_arg *p, const char *x, int64_t bytes)
{
    int64_t keys[KEYS], best = INT64_MIN, index = 0;
    for (int64_t i = 0; i < p->axis; i += KEYS) {
        const int64_t n = fc_min(KEYS, p->axis - i);
        order_keys(keys, x + i * p->x_axis * bytes, p->x_axis, n, p->dtype, p->smallest ? -1 : 0);
        for (int64_t j = 0; j < n; j++)
            if (keys[j] > best || (p->last && keys[j] == best)) {
                best = keys[j];
                index = i + j;
            }
    }
    return index;
}

static void arg_row(void *context, const int64_t *at, int64_t n)
{
    const arg_rows *r = context;
    for (int64_t i = 0; i < n; i++)
        r->y[at[0] + i * r->y_step] = best_index(r->p, r->x + (at[1] + i * r->x_step) * r->bytes, r->bytes);
}

/* fp32 along a contiguous axis, and down columns that lie next to each other. */
static void arg_contiguous(void *context, const int64_t *at, int64_t n)
{
    const arg_rows *r = context;
    const float *x = (const float *)(const void *)r->x + at[1];
    for (int64_t i = 0; i < n; i++)
        r->y[at[0] + i * r->y_step] = fc_active->arg->row[r->p->smallest != 0][r->p->last != 0](x + i * r->x_step, (size_t)r->p->axis);
}

static void arg_columns(void *context, const int64_t *at, int64_t n)
{
    const arg_rows *r = context;
    fc_active->arg->columns[r->p->smallest != 0][r->p->last != 0](r->y + at[0], (const float *)(const void *)r->x + at[1],
                                                                  (size_t)r->p->x_axis, (size_t)r->p->axis, (size_t)n);
}

fc_status fc_run_arg(const void *params, void *const *t, const fc_team *team)
{
    const fc_arg *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    arg_rows rows = {p, t[0], t[1], fc_walk_inner_stride(&walk, 0), fc_walk_inner_stride(&walk, 1), fc_dtype_bytes(p->dtype)};
    const int kernels = p->dtype == FC_F32 && p->axis < EXACT_INDEX;
    if (kernels && p->x_axis == 1)
        fc_walk_rows(&walk, team, ROWS, arg_contiguous, &rows);
    else if (kernels && rows.y_step == 1 && rows.x_step == 1)
        fc_walk_rows(&walk, team, COLUMNS, arg_columns, &rows);
    else
        fc_walk_rows(&walk, team, ROWS, arg_row, &rows);
    return FC_OK;
}

/* ---- top_k: a heap of the k best so far, the worst at its root ------------------------------------------------------------ */

static int worse(ranked a, ranked b) { return a.key < b.key || (a.key == b.key && a.index > b.index); }

static void sift_down(ranked *heap, int64_t n, int64_t i)
{
    const ranked moved = heap[i];
    for (int64_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        child += child + 1 < n && worse(heap[child + 1], heap[child]);
        if (!worse(heap[child], moved))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

typedef struct top_rows {
    const fc_top_k *p;
    char *values;
    int64_t *indices;
    const char *x;
    int64_t step[3], bytes;
    ranked *heap;
} top_rows;

/* An element takes the place of the heap's worst, unless it is no better: of equal ones the first stays. */
static void offer(const top_rows *r, int64_t key, int64_t index)
{
    if (key > r->heap[0].key) {
        r->heap[0] = (ranked){key, index};
        sift_down(r->heap, r->p->k, 0);
    }
}

/* Elements from `first` on; most floats are not even made keys of. */
static void offer_floats(const top_rows *r, const float *x, int64_t first)
{
    const fc_top_k *p = r->p;
    const int64_t step = p->x_axis;
    const int64_t flip = p->smallest ? -1 : 0;
    for (int64_t i = first; i < p->axis; i++) {
        const float bound = x[r->heap[0].index * step];
        if (p->smallest)
            while (i < p->axis && x[i * step] >= bound)
                i++;
        else
            while (i < p->axis && x[i * step] <= bound)     /* a NaN stops here, too */
                i++;
        if (i < p->axis)
            offer(r, key_F32(x[i * step]) ^ flip, i);
    }
}

static void offer_any(const top_rows *r, const char *x, int64_t first)
{
    const fc_top_k *p = r->p;
    int64_t keys[KEYS];
    for (int64_t i = first; i < p->axis; i += KEYS) {
        const int64_t n = fc_min(KEYS, p->axis - i);
        order_keys(keys, x + i * p->x_axis * r->bytes, p->x_axis, n, p->dtype, p->smallest ? -1 : 0);
        for (int64_t j = 0; j < n; j++)
            offer(r, keys[j], i + j);
    }
}

/* heap[0..k) = the k best of a row, best first. */
static void rank_row(const top_rows *r, const char *x)
{
    const fc_top_k *p = r->p;
    int64_t keys[KEYS];
    for (int64_t i = 0; i < p->k; i += KEYS) {
        const int64_t n = fc_min(KEYS, p->k - i);
        order_keys(keys, x + i * p->x_axis * r->bytes, p->x_axis, n, p->dtype, p->smallest ? -1 : 0);
        for (int64_t j = 0; j < n; j++)
            r->heap[i + j] = (ranked){keys[j], i + j};
    }
    for (int64_t k = (p->k - 2) / 2; k >= 0; k--)
        sift_down(r->heap, p->k, k);
    if (p->dtype == FC_F32)
        offer_floats(r, (const float *)(const void *)x, p->k);
    else
        offer_any(r, x, p->k);
    for (int64_t n = p->k - 1; n > 0; n--) {
        const ranked last = r->heap[n];
        r->heap[n] = r->heap[0];
        r->heap[0] = last;
        sift_down(r->heap, n, 0);
    }
}

static void top_row(void *context, const int64_t *at, int64_t n)
{
    const top_rows *r = context;
    const fc_top_k *p = r->p;
    for (int64_t i = 0; i < n; i++) {
        const char *x = r->x + (at[2] + i * r->step[2]) * r->bytes;
        char *values = r->values + (at[0] + i * r->step[0]) * r->bytes;
        int64_t *indices = r->indices + at[1] + i * r->step[1];
        rank_row(r, x);
        for (int64_t k = 0; k < p->k; k++) {
            memcpy(values + k * p->v_axis * r->bytes, x + r->heap[k].index * p->x_axis * r->bytes, (size_t)r->bytes);
            indices[k * p->i_axis] = r->heap[k].index;
        }
    }
}

fc_status fc_run_top_k(const void *params, void *const *t, const fc_team *team)
{
    const fc_top_k *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->v_strides, p->i_strides, p->x_strides});
    top_rows rows = {.p = p, .values = t[0], .indices = t[1], .x = t[2], .bytes = fc_dtype_bytes(p->dtype), .heap = team->scratch};
    for (int k = 0; k < 3; k++)
        rows.step[k] = fc_walk_inner_stride(&walk, k);
    fc_walk_rows(&walk, team, ROWS, top_row, &rows);
    return FC_OK;
}

size_t fc_scratch_top_k(const void *params, int threads)
{
    (void)threads;
    return fc_align_up((size_t)((const fc_top_k *)params)->k * sizeof(ranked));
}
