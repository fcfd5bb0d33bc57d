/* Steps on floats that are bytes less their zero points: products with one number a channel, tables. */
#include "kernels/kernels.h"
#include "ops/walk.h"
#include "team.h"

enum { BLOCK = 4096, STRIDED_BLOCK = 256 };     /* elements of a piece of a row; of a strided one, which goes through the stack */

fc_status fc_run_round_product(const void *params, void *const *t, const fc_team *team)
{
    const fc_round_product *p = params;
    int64_t begin, end;
    fc_share(team, p->n * p->h, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / p->h, row = i % p->h;
        const fc_round_product_args args = {
            .y = (float *)t[0] + image * p->y_image + row * p->y_row, .y_pixel = (size_t)p->y_pixel,
            .x = (const float *)t[1] + image * p->x_image + row * p->x_row, .x_pixel = (size_t)p->x_pixel,
            .b = (const float *)t[2] + image * p->c, .count = (size_t)p->w, .n = (size_t)p->c, .factor = p->factor, .lo = p->lo, .hi = p->hi};
        fc_active_bytes->round_product(&args);
    }
    return FC_OK;
}

typedef struct lookups {
    float *y;
    const float *x;
    const int16_t *table;
    int64_t y_step, x_step;
} lookups;

static void lookup_row(void *context, const int64_t *at, int64_t n)
{
    const lookups *l = context;
    fc_active_bytes->lookup(l->y + at[0], (size_t)n, l->x + at[1], (size_t)n, 1, (size_t)n, l->table);
}

static void lookup_row_strided(void *context, const int64_t *at, int64_t n)
{
    const lookups *l = context;
    float x[STRIDED_BLOCK];
    fc_pack_row(x, l->x + at[1], l->x_step, n);
    fc_active_bytes->lookup(x, (size_t)n, x, (size_t)n, 1, (size_t)n, l->table);
    fc_unpack_row(l->y + at[0], l->y_step, x, n);
}

fc_status fc_run_lookup(const void *params, void *const *t, const fc_team *team)
{
    const fc_lookup *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    lookups l = {.y = t[0], .x = t[1], .table = t[2], .y_step = fc_walk_inner_stride(&walk, 0),
                 .x_step = fc_walk_inner_stride(&walk, 1)};
    const int contiguous = l.y_step == 1 && l.x_step == 1;
    fc_walk_rows(&walk, team, contiguous ? BLOCK : STRIDED_BLOCK, contiguous ? lookup_row : lookup_row_strided, &l);
    return FC_OK;
}
