/* Matrix products of doubles and integers, batched with broadcasting: plain loops over a block of b that stays in L2. */
#include "ops/dtypes.h"
#include "ops/walk.h"

/* Elements of b's block: 256 KB of doubles. */
enum { COLUMNS = 256, DEPTH = 128 };

#define T double
#define TYPED(name) name##_F64
#include "typed_matmul.inc"
/* Unsigned sums and products wrap, and have the bits of signed ones. */
#define T uint32_t
#define TYPED(name) name##_32
#include "typed_matmul.inc"
#define T uint64_t
#define TYPED(name) name##_64
#include "typed_matmul.inc"

typedef void (*product_fn)(const fc_typed_matmul *p, void *y, const void *a, const void *b, int64_t first, int64_t last);

static const product_fn product_of[FC_DTYPE_COUNT] = {[FC_F64] = product_rows_F64, [FC_I32] = product_rows_32, [FC_U32] = product_rows_32,
                                                      [FC_I64] = product_rows_64, [FC_U64] = product_rows_64};

/* Threads share the rows of all products. */
fc_status fc_run_typed_matmul(const void *params, void *const *t, const fc_team *team)
{
    const fc_typed_matmul *p = params;
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    fc_walk batch;
    fc_cursor cursor;
    fc_walk_make(&batch, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->a_strides, p->b_strides});
    int64_t begin, end;
    fc_share(team, fc_walk_count(&batch, batch.ndim) * p->m, &begin, &end);
    for (int64_t row = begin; row < end;) {
        const int64_t product = row / p->m, first = row % p->m, last = fc_min(p->m, first + end - row);
        fc_cursor_seek(&batch, batch.ndim, product, &cursor);
        product_of[p->dtype](p, (char *)t[0] + cursor.at[0] * bytes, (const char *)t[1] + cursor.at[1] * bytes,
                             (const char *)t[2] + cursor.at[2] * bytes, first, last);
        row += last - first;
    }
    return FC_OK;
}
