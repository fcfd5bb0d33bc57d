/* y = condition ? a : b, elements of 1, 2, 4 or 8 bytes. */
#include "walk.h"

enum { BLOCK = 2048 };

typedef struct where_rows {
    char *y;
    const uint8_t *condition;
    const char *a, *b;
    int64_t elem, step[4];
} where_rows;

#define WHERE_LOOP(type) \
    for (int64_t i = 0; i < n; i++) { \
        const type p = ((const type *)a)[i * r->step[2]], q = ((const type *)b)[i * r->step[3]]; \
        ((type *)y)[i * r->step[0]] = c[i * r->step[1]] ? p : q; \
    } break

static void where_row(void *context, const int64_t *at, int64_t n)
{
    const where_rows *r = context;
    const uint8_t *c = r->condition + at[1];
    void *y = r->y + at[0] * r->elem;
    const void *a = r->a + at[2] * r->elem, *b = r->b + at[3] * r->elem;
    switch (r->elem) {
    case 1: WHERE_LOOP(uint8_t);
    case 2: WHERE_LOOP(uint16_t);
    case 4: WHERE_LOOP(uint32_t);
    default: WHERE_LOOP(uint64_t);
    }
}

fc_status fc_run_where(const void *params, void *const *t, const fc_team *team)
{
    const fc_where *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 4, (const int64_t *const[]){p->y_strides, p->c_strides, p->a_strides, p->b_strides});
    where_rows rows = {t[0], t[1], t[2], t[3], p->elem_bytes, {0}};
    for (int k = 0; k < 4; k++)
        rows.step[k] = fc_walk_inner_stride(&walk, k);
    fc_walk_rows(&walk, team, BLOCK, where_row, &rows);
    return FC_OK;
}
