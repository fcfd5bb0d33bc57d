/* y = (dst)x between any two fc_dtype.
 *
 * Floats become integers by truncation; what does not fit is what x86 gives (numpy and onnxruntime do the same): the smallest
 * int32 or int64, then the low bits. bool is x != 0. Halves go through float.
 */
#include "kernels/kernels.h"
#include "ops/dtypes.h"
#include "ops/walk.h"

enum { BLOCK = 2048, HALF_BLOCK = 256 };

static inline int64_t i64_of(double v) { return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN; }
static inline int32_t i32_of(double v) { return v > -2147483649.0 && v < 2147483648.0 ? (int32_t)v : INT32_MIN; }
static inline uint64_t u64_of(double v) { return v >= 0x1p63 && v < 0x1p64 ? (uint64_t)v : (uint64_t)i64_of(v); }

#define CAST_LOOP(to, expression) \
    for (int64_t i = 0; i < n; i++) { to *const q = (to *)y + i * y_step; const from v = x[i * x_step]; *q = (to)(expression); } break

/* One function a source type: its loops to every destination. cast_from.inc is the template. */
#define CAST_FLOATING 1
#define from float
#define CAST_FROM cast_from_f32
#include "cast_from.inc"
#define from double
#define CAST_FROM cast_from_f64
#include "cast_from.inc"
#undef CAST_FLOATING
#define CAST_FLOATING 0
#define from int8_t
#define CAST_FROM cast_from_i8
#include "cast_from.inc"
#define from int16_t
#define CAST_FROM cast_from_i16
#include "cast_from.inc"
#define from int32_t
#define CAST_FROM cast_from_i32
#include "cast_from.inc"
#define from int64_t
#define CAST_FROM cast_from_i64
#include "cast_from.inc"
#define from uint8_t
#define CAST_FROM cast_from_u8
#include "cast_from.inc"
#define from uint16_t
#define CAST_FROM cast_from_u16
#include "cast_from.inc"
#define from uint32_t
#define CAST_FROM cast_from_u32
#include "cast_from.inc"
#define from uint64_t
#define CAST_FROM cast_from_u64
#include "cast_from.inc"

typedef void (*cast_fn)(void *y, int64_t y_step, const void *x, int64_t x_step, int64_t n, int64_t y_dtype);
static const cast_fn cast_from[FC_DTYPE_COUNT] = {
    [FC_F32] = cast_from_f32, [FC_F64] = cast_from_f64, [FC_I8] = cast_from_i8, [FC_I16] = cast_from_i16, [FC_I32] = cast_from_i32,
    [FC_I64] = cast_from_i64, [FC_U8] = cast_from_u8, [FC_U16] = cast_from_u16, [FC_U32] = cast_from_u32, [FC_U64] = cast_from_u64,
    [FC_BOOL] = cast_from_u8};

typedef struct cast_rows {
    char *y;
    const char *x;
    int64_t y_step, x_step, y_dtype, x_dtype, y_bytes, x_bytes;
} cast_rows;

static void cast_row(void *context, const int64_t *at, int64_t n)
{
    const cast_rows *r = context;
    const fc_cast_kernels *k = fc_active->cast;
    const int dense = r->x_step == 1 && r->y_step == 1;
    char *y = r->y + at[0] * r->y_bytes;
    const char *x = r->x + at[1] * r->x_bytes;
    if (dense && r->x_dtype == FC_F32 && k->from_float[r->y_dtype])
        k->from_float[r->y_dtype](y, (const float *)(const void *)x, (size_t)n);
    else if (dense && r->y_dtype == FC_F32 && k->to_float[r->x_dtype])
        k->to_float[r->x_dtype]((float *)(void *)y, x, (size_t)n);
    else
        cast_from[r->x_dtype](y, r->y_step, x, r->x_step, n, r->y_dtype);
}

/* At least one side is half: a block of floats in between. Double to half rounds twice, as numpy's float route does not; no model does it. */
static void cast_row_half(void *context, const int64_t *at, int64_t n)
{
    const cast_rows *r = context;
    if (r->x_step == 1 && r->y_step == 1 && r->x_dtype == FC_F32) {
        fc_active->half->narrow((uint16_t *)(void *)(r->y + at[0] * r->y_bytes), (const float *)(const void *)(r->x + at[1] * r->x_bytes), (size_t)n);
        return;
    }
    if (r->x_step == 1 && r->y_step == 1 && r->y_dtype == FC_F32) {
        fc_active->half->widen((float *)(void *)(r->y + at[0] * r->y_bytes), (const uint16_t *)(const void *)(r->x + at[1] * r->x_bytes), (size_t)n);
        return;
    }
    uint16_t half[HALF_BLOCK];
    float block[HALF_BLOCK];
    char *y = r->y + at[0] * r->y_bytes;
    const char *x = r->x + at[1] * r->x_bytes;
    if (r->x_dtype == FC_F16) {
        const uint16_t *source = (const uint16_t *)(const void *)x;
        for (int64_t i = 0; i < n; i++)
            half[i] = source[i * r->x_step];
        fc_active->half->widen(block, half, (size_t)n);
    } else {
        cast_from[r->x_dtype](block, 1, x, r->x_step, n, FC_F32);
    }
    if (r->y_dtype != FC_F16) {
        cast_from[FC_F32](y, r->y_step, block, 1, n, r->y_dtype);
        return;
    }
    fc_active->half->narrow(half, block, (size_t)n);
    uint16_t *target = (uint16_t *)(void *)y;
    for (int64_t i = 0; i < n; i++)
        target[i * r->y_step] = half[i];
}

fc_status fc_run_cast(const void *params, void *const *t, const fc_team *team)
{
    const fc_cast *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    cast_rows rows = {t[0], t[1], fc_walk_inner_stride(&walk, 0), fc_walk_inner_stride(&walk, 1), p->y_dtype, p->x_dtype,
                      fc_dtype_bytes(p->y_dtype), fc_dtype_bytes(p->x_dtype)};
    if (p->x_dtype == FC_F16 || p->y_dtype == FC_F16)
        fc_walk_rows(&walk, team, HALF_BLOCK, cast_row_half, &rows);
    else
        fc_walk_rows(&walk, team, BLOCK, cast_row, &rows);
    return FC_OK;
}
