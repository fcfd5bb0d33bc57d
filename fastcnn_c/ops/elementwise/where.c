/* y = condition ? a : b, elements of 1, 2, 4 or 8 bytes. */
#include "ops/walk.h"

enum { BLOCK = 2048 };

typedef struct where_rows {
    char *y;
    const uint8_t *condition;
    const char *a, *b;
    int64_t elem, step[4];
} where_rows;

#define WHERE_LOOP(type) \
    for (int64_t i = 0; i < n; i++) { \
        const type p = ((const type *)a)[i * a_step], q = ((const type *)b)[i * b_step]; \
        ((type *)y)[i * y_step] = c[i * c_step] ? p : q; \
    } break

static inline __attribute__((always_inline)) void choose(int64_t elem, void *restrict y, const uint8_t *c, const void *a, const void *b,
                                                         int64_t n, int64_t y_step, int64_t c_step, int64_t a_step, int64_t b_step)
{
    switch (elem) {
    case 1: WHERE_LOOP(uint8_t);
    case 2: WHERE_LOOP(uint16_t);
    case 4: WHERE_LOOP(uint32_t);
    default: WHERE_LOOP(uint64_t);
    }
}

/* Steps that are constants let the compiler vectorise. */
static void where_row(void *context, const int64_t *at, int64_t n)
{
    const where_rows *r = context;
    const uint8_t *c = r->condition + at[1];
    void *y = r->y + at[0] * r->elem;
    const void *a = r->a + at[2] * r->elem, *b = r->b + at[3] * r->elem;
    const int64_t *s = r->step;
    if (s[0] != 1 || s[1] != 1 || s[2] > 1 || s[3] > 1)
        choose(r->elem, y, c, a, b, n, s[0], s[1], s[2], s[3]);
    else if (s[2] == 1 && s[3] == 1)
        choose(r->elem, y, c, a, b, n, 1, 1, 1, 1);
    else if (s[2] == 1)
        choose(r->elem, y, c, a, b, n, 1, 1, 1, 0);
    else
        choose(r->elem, y, c, a, b, n, 1, 1, 0, s[3]);
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
