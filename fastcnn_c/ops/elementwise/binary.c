/* y = fn(op(a, b)) and y = fn(x * scale + shift), fp32, with broadcasting by strides of 0. */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/walk.h"

/* Floats of a piece: two inputs and the output stay in a 32 KB L1, so the activation after it finds them there. */
enum { BLOCK = 2048, STRIDED_BLOCK = 256 };

/* A row repeated to fill a block; `source` says which row it is, so that a thread lays it out once. */
typedef struct repeated {
    float block[BLOCK];
    const float *source;
    int64_t n;
} repeated;

/* Not an initialiser: that would clear the block. */
static void start_repeating(repeated *r, int64_t n)
{
    r->source = NULL;
    r->n = n;
}

static const float *repeat(repeated *r, const float *source, int64_t count)
{
    if (r->source != source) {
        for (int64_t i = 0; i < count; i += r->n)
            memcpy(r->block + i, source, (size_t)r->n * sizeof(float));
        r->source = source;
    }
    return r->block;
}

static void activate(float *y, int64_t n, int64_t fn, float alpha, float beta)
{
    if (fn != FC_FN_None)
        fc_active->unary[fn](y, y, 1, (size_t)n, 0, alpha, beta);
}

typedef struct binary_rows {
    const fc_binary *p;
    fc_binary_kernel kernel;
    float *y;
    const float *a, *b;
    int64_t y_step, a_step, b_step, period;
    repeated *row;
} binary_rows;

static void binary_row(void *context, const int64_t *at, int64_t n)
{
    const binary_rows *r = context;
    r->kernel(r->y + at[0], r->a + at[1], r->b + at[2], (size_t)n);
    activate(r->y + at[0], n, r->p->fn, r->p->alpha, r->p->beta);
}

static void binary_row_repeated_b(void *context, const int64_t *at, int64_t n)
{
    const binary_rows *r = context;
    r->kernel(r->y + at[0], r->a + at[1], repeat(r->row, r->b + at[2], r->period), (size_t)n);
    activate(r->y + at[0], n, r->p->fn, r->p->alpha, r->p->beta);
}

static void binary_row_repeated_a(void *context, const int64_t *at, int64_t n)
{
    const binary_rows *r = context;
    r->kernel(r->y + at[0], repeat(r->row, r->a + at[1], r->period), r->b + at[2], (size_t)n);
    activate(r->y + at[0], n, r->p->fn, r->p->alpha, r->p->beta);
}

static void binary_row_strided(void *context, const int64_t *at, int64_t n)
{
    const binary_rows *r = context;
    float y[STRIDED_BLOCK], a[STRIDED_BLOCK], b[STRIDED_BLOCK];
    fc_pack_row(a, r->a + at[1], r->a_step, n);
    fc_pack_row(b, r->b + at[2], r->b_step, n);
    r->kernel(y, a, b, (size_t)n);
    activate(y, n, r->p->fn, r->p->alpha, r->p->beta);
    fc_unpack_row(r->y + at[0], r->y_step, y, n);
}

/* VV, VS or SV when the innermost steps are 1 and 0 so, -1 when elements must be gathered. */
static int contiguous_mode(const binary_rows *r)
{
    if (r->y_step != 1)
        return -1;
    if (r->a_step == 1 && r->b_step == 1)
        return FC_VV;
    if (r->a_step == 1 && r->b_step == 0)
        return FC_VS;
    return r->a_step == 0 && r->b_step == 1 ? FC_SV : -1;
}

/* A row of at most a quarter of a block that repeats is worth laying out; returns whether it was run so. */
static int run_repeated(fc_walk *walk, const fc_team *team, binary_rows *r)
{
    if (fc_walk_inner(walk) > BLOCK / 4)
        return 0;
    for (int operand = 1; operand <= 2; operand++) {
        const int64_t n = fc_walk_merge_repeated(walk, operand);
        if (n == 0)
            continue;
        repeated row;
        start_repeating(&row, n);
        r->row = &row;
        r->period = fc_repeat_block(n, BLOCK);
        fc_walk_rows(walk, team, r->period, operand == 1 ? binary_row_repeated_a : binary_row_repeated_b, r);
        return 1;
    }
    return 0;
}

fc_status fc_run_binary(const void *params, void *const *t, const fc_team *team)
{
    const fc_binary *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->a_strides, p->b_strides});
    binary_rows rows = {.p = p, .y = t[0], .a = t[1], .b = t[2], .y_step = fc_walk_inner_stride(&walk, 0),
                        .a_step = fc_walk_inner_stride(&walk, 1), .b_step = fc_walk_inner_stride(&walk, 2)};
    const int mode = contiguous_mode(&rows);
    rows.kernel = fc_active->binary[p->op][mode < 0 ? FC_VV : mode];
    if (mode < 0)
        fc_walk_rows(&walk, team, STRIDED_BLOCK, binary_row_strided, &rows);
    else if (mode != FC_VV || !run_repeated(&walk, team, &rows))
        fc_walk_rows(&walk, team, BLOCK, binary_row, &rows);
    return FC_OK;
}

typedef struct scale_rows {
    const fc_scale_shift *p;
    fc_scale_shift_kernel kernel;
    float *y;
    const float *x, *scale, *shift;
    int64_t y_step, x_step, p_step, period;
    repeated *scale_row, *shift_row;
} scale_rows;

static void scale_row(void *context, const int64_t *at, int64_t n)
{
    const scale_rows *r = context;
    r->kernel(r->y + at[0], r->x + at[1], r->scale + at[2], r->shift + at[2], (size_t)n);
    activate(r->y + at[0], n, r->p->fn, r->p->alpha, r->p->beta);
}

static void scale_row_repeated(void *context, const int64_t *at, int64_t n)
{
    const scale_rows *r = context;
    const float *scale = repeat(r->scale_row, r->scale + at[2], r->period);
    r->kernel(r->y + at[0], r->x + at[1], scale, repeat(r->shift_row, r->shift + at[2], r->period), (size_t)n);
    activate(r->y + at[0], n, r->p->fn, r->p->alpha, r->p->beta);
}

static void scale_row_strided(void *context, const int64_t *at, int64_t n)
{
    const scale_rows *r = context;
    float y[STRIDED_BLOCK], scale[STRIDED_BLOCK], shift[STRIDED_BLOCK];
    fc_pack_row(y, r->x + at[1], r->x_step, n);
    fc_pack_row(scale, r->scale + at[2], r->p_step, n);
    fc_pack_row(shift, r->shift + at[2], r->p_step, n);
    r->kernel(y, y, scale, shift, (size_t)n);
    activate(y, n, r->p->fn, r->p->alpha, r->p->beta);
    fc_unpack_row(r->y + at[0], r->y_step, y, n);
}

fc_status fc_run_scale_shift(const void *params, void *const *t, const fc_team *team)
{
    const fc_scale_shift *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->x_strides, p->p_strides});
    scale_rows rows = {.p = p, .kernel = fc_active->scale_shift->each, .y = t[0], .x = t[1], .scale = t[2], .shift = t[3],
                       .y_step = fc_walk_inner_stride(&walk, 0), .x_step = fc_walk_inner_stride(&walk, 1),
                       .p_step = fc_walk_inner_stride(&walk, 2)};
    if (rows.y_step != 1 || rows.x_step != 1 || (rows.p_step != 0 && rows.p_step != 1)) {
        fc_walk_rows(&walk, team, STRIDED_BLOCK, scale_row_strided, &rows);
        return FC_OK;
    }
    if (rows.p_step == 0)
        rows.kernel = fc_active->scale_shift->one;
    const int64_t n = rows.p_step == 1 && fc_walk_inner(&walk) <= BLOCK / 4 ? fc_walk_merge_repeated(&walk, 2) : 0;
    if (n == 0) {
        fc_walk_rows(&walk, team, BLOCK, scale_row, &rows);
        return FC_OK;
    }
    repeated scale, shift;
    start_repeating(&scale, n);
    start_repeating(&shift, n);
    rows.scale_row = &scale;
    rows.shift_row = &shift;
    rows.period = fc_repeat_block(n, BLOCK);
    fc_walk_rows(&walk, team, rows.period, scale_row_repeated, &rows);
    return FC_OK;
}
