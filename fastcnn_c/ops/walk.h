/* Strided walks: N-dimensional loops over operands with strides, brought to few dimensions and shared among threads.
 *
 * fc_walk_make drops dimensions of size 1, orders the rest by the stride of operand 0 (the output is written in its own order)
 * and merges neighbours that every operand walks as one. The innermost dimension is the caller's; the others are "rows".
 */
#ifndef FC_WALK_H
#define FC_WALK_H

#include "team.h"

enum { FC_WALK_OPERANDS = 4 };

typedef struct fc_walk {
    int ndim;                   /* at least 1 */
    int operands;
    int64_t shape[FC_MAX_DIMS];
    int64_t stride[FC_WALK_OPERANDS][FC_MAX_DIMS];
} fc_walk;

/* Where a walk stands: the index of the row, and each operand's offset in elements. */
typedef struct fc_cursor {
    int64_t index[FC_MAX_DIMS];
    int64_t at[FC_WALK_OPERANDS];
} fc_cursor;

void fc_walk_make(fc_walk *walk, int64_t ndim, const int64_t *shape, int operands, const int64_t *const *strides);

static inline int64_t fc_walk_inner(const fc_walk *walk) { return walk->shape[walk->ndim - 1]; }
static inline int64_t fc_walk_inner_stride(const fc_walk *walk, int operand) { return walk->stride[operand][walk->ndim - 1]; }

/* Number of index tuples of the outermost `outer` dimensions. */
static inline int64_t fc_walk_count(const fc_walk *walk, int outer)
{
    int64_t count = 1;
    for (int d = 0; d < outer; d++)
        count *= walk->shape[d];
    return count;
}

/* Stand on tuple number `linear` of the outermost `outer` dimensions. */
static inline void fc_cursor_seek(const fc_walk *walk, int outer, int64_t linear, fc_cursor *cursor)
{
    for (int k = 0; k < walk->operands; k++)
        cursor->at[k] = 0;
    for (int d = outer - 1; d >= 0; d--) {
        cursor->index[d] = linear % walk->shape[d];
        linear /= walk->shape[d];
        for (int k = 0; k < walk->operands; k++)
            cursor->at[k] += cursor->index[d] * walk->stride[k][d];
    }
}

static inline void fc_cursor_next(const fc_walk *walk, int outer, fc_cursor *cursor)
{
    for (int d = outer - 1; d >= 0; d--) {
        for (int k = 0; k < walk->operands; k++)
            cursor->at[k] += walk->stride[k][d];
        if (++cursor->index[d] < walk->shape[d])
            return;
        cursor->index[d] = 0;
        for (int k = 0; k < walk->operands; k++)
            cursor->at[k] -= walk->shape[d] * walk->stride[k][d];
    }
}

/* One piece of an innermost row: n elements, operand k from element at[k]. */
typedef void (*fc_row_fn)(void *context, const int64_t *at, int64_t n);

/* This thread's share of all rows, cut into pieces of at most `block` elements. */
void fc_walk_rows(const fc_walk *walk, const fc_team *team, int64_t block, fc_row_fn fn, void *context);

/* Operand k repeats a short row [n] under the two innermost dimensions [m][n] that all others walk as one: merge them and let k
 * stand still. Returns n, or 0 when the walk is not like that. The caller lays the row out several times and hands that to its
 * kernels: a channel vector of 24 floats would otherwise cost a kernel call each 24 elements. */
int64_t fc_walk_merge_repeated(fc_walk *walk, int k);

/* Elements of a repeated row that a block holds: whole rows, at most `block` elements, at least one row. */
static inline int64_t fc_repeat_block(int64_t n, int64_t block) { return n * fc_max(1, block / n); }

/* block[i] = x[i*step] and y[i*step] = block[i], i < n: a strided row on its way through a contiguous kernel. */
void fc_pack_row(float *block, const float *x, int64_t step, int64_t n);
void fc_unpack_row(float *y, int64_t step, const float *block, int64_t n);

#endif
