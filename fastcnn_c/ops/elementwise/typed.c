/* Elementwise functions on any dtype: plain loops, one set a C type from the template typed_ops.inc. */
#include <math.h>

#include "ops/elementwise/typed.h"
#include "ops/walk.h"

enum { BLOCK = 2048 };

#define TYPED_INLINE static inline __attribute__((always_inline))

#define TYPED_FLOATING 1
#define TYPED_SIGNED 1
#define T float
#define TYPED(name) name##_F32
#include "typed_ops.inc"
#define T double
#define TYPED(name) name##_F64
#include "typed_ops.inc"
#undef TYPED_FLOATING
#define TYPED_FLOATING 0
#define T int8_t
#define TYPED(name) name##_I8
#include "typed_ops.inc"
#define T int16_t
#define TYPED(name) name##_I16
#include "typed_ops.inc"
#define T int32_t
#define TYPED(name) name##_I32
#include "typed_ops.inc"
#define T int64_t
#define TYPED(name) name##_I64
#include "typed_ops.inc"
#undef TYPED_SIGNED
#define TYPED_SIGNED 0
#define T uint8_t
#define TYPED(name) name##_U8
#include "typed_ops.inc"
#define T uint16_t
#define TYPED(name) name##_U16
#include "typed_ops.inc"
#define T uint32_t
#define TYPED(name) name##_U32
#include "typed_ops.inc"
#define T uint64_t
#define TYPED(name) name##_U64
#include "typed_ops.inc"

typedef void (*binary_fn)(int64_t op, void *y, const void *a, const void *b, int64_t n, const int64_t *step);
typedef void (*unary_fn)(int64_t op, void *y, const void *x, int64_t n, const int64_t *step);

#define BINARY_ROW(dtype, type) [FC_##dtype] = binary_##dtype,
#define UNARY_ROW(dtype, type) [FC_##dtype] = unary_##dtype,
static const binary_fn binary_of[FC_DTYPE_COUNT] = {FC_FLOAT_DTYPES(BINARY_ROW) FC_INTEGER_DTYPES(BINARY_ROW) [FC_BOOL] = binary_U8};
static const unary_fn unary_of[FC_DTYPE_COUNT] = {FC_FLOAT_DTYPES(UNARY_ROW) FC_INTEGER_DTYPES(UNARY_ROW) [FC_BOOL] = unary_U8};

void fc_typed_binary_run(int64_t op, int64_t dtype, void *y, const void *a, const void *b, int64_t n, const int64_t *step)
{
    binary_of[dtype](op, y, a, b, n, step);
}

typedef struct typed_rows {
    binary_fn binary;
    unary_fn unary;
    char *y;
    const char *a, *b;
    int64_t op, y_bytes, x_bytes, step[3];
} typed_rows;

static void binary_row(void *context, const int64_t *at, int64_t n)
{
    const typed_rows *r = context;
    r->binary(r->op, r->y + at[0] * r->y_bytes, r->a + at[1] * r->x_bytes, r->b + at[2] * r->x_bytes, n, r->step);
}

static void unary_row(void *context, const int64_t *at, int64_t n)
{
    const typed_rows *r = context;
    r->unary(r->op, r->y + at[0] * r->y_bytes, r->a + at[1] * r->x_bytes, n, r->step);
}

static int gives_bool(int64_t op) { return op >= FC_TBIN_Equal && op <= FC_TBIN_Xor; }

fc_status fc_run_typed_binary(const void *params, void *const *t, const fc_team *team)
{
    const fc_typed_binary *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->a_strides, p->b_strides});
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    typed_rows rows = {.binary = binary_of[p->dtype], .y = t[0], .a = t[1], .b = t[2], .op = p->op,
                       .y_bytes = gives_bool(p->op) ? 1 : bytes, .x_bytes = bytes};
    for (int k = 0; k < 3; k++)
        rows.step[k] = fc_walk_inner_stride(&walk, k);
    fc_walk_rows(&walk, team, BLOCK, binary_row, &rows);
    return FC_OK;
}

fc_status fc_run_typed_unary(const void *params, void *const *t, const fc_team *team)
{
    const fc_typed_unary *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    const int to_bool = p->op == FC_TUN_Not || p->op == FC_TUN_IsNaN || p->op == FC_TUN_IsInf;
    typed_rows rows = {.unary = unary_of[p->dtype], .y = t[0], .a = t[1], .op = p->op, .y_bytes = to_bool ? 1 : bytes, .x_bytes = bytes,
                       .step = {fc_walk_inner_stride(&walk, 0), fc_walk_inner_stride(&walk, 1)}};
    fc_walk_rows(&walk, team, BLOCK, unary_row, &rows);
    return FC_OK;
}
