/* y = x / (norm * factor + epsilon), a norm for every element or for many of them: float32 by doubles, since a norm may be a number that
 * float32 has not (of two elements of 3e38, say) while the quotient is an ordinary one.
 */
#include <float.h>
#include <math.h>

#include "kernels/kernels.h"
#include "ops/walk.h"

enum { BLOCK = 256 };

typedef struct quotient_rows {
    float *y;
    const float *x, *plain;    /* plain: divisors that float32 has, NaN for the others */
    const double *norm;
    int64_t y_step, x_step, n_step;
    double factor, epsilon;
} quotient_rows;

/* The divisors as floats, NaN where they are none: few, but read for every row. */
fc_status fc_run_norm_divisor(const void *params, void *const *t, const fc_team *team)
{
    const fc_norm_divisor *p = params;
    float *y = t[0];
    const double *norm = t[1];
    int64_t begin, end;
    fc_share(team, p->count, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const double d = norm[i] * (double)p->factor + (double)p->epsilon;
        y[i] = d >= (double)FLT_MIN && d <= (double)FLT_MAX ? (float)d : NAN;
    }
    return FC_OK;
}

/* n elements in double; where the divisor is 0 so is y. */
static void divide_wide(const quotient_rows *r, float *y, const float *x, const double *norm, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = norm[i * r->n_step] * r->factor + r->epsilon;
        y[i * r->y_step] = d == 0.0 ? 0.0f : (float)((double)x[i * r->x_step] / d);
    }
}

static int is_plain(const float *divisor, int64_t n)
{
    int odd = 0;
    for (int64_t i = 0; i < n; i++)
        odd |= divisor[i] != divisor[i];
    return !odd;
}

/* By kernels where all divisors are floats and the elements follow each other. */
static void divide_row(void *context, const int64_t *at, int64_t n)
{
    const quotient_rows *r = context;
    const float *plain = r->plain + at[2];
    const int follow = r->y_step == 1 && r->x_step == 1 && r->n_step <= 1;
    if (follow && is_plain(plain, r->n_step ? n : 1))
        fc_active->binary[FC_BIN_Div][r->n_step ? FC_VV : FC_VS](r->y + at[0], r->x + at[1], plain, (size_t)n);
    else
        divide_wide(r, r->y + at[0], r->x + at[1], r->norm + at[2], n);
}

fc_status fc_run_norm_divide(const void *params, void *const *t, const fc_team *team)
{
    const fc_norm_divide *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->x_strides, p->n_strides});
    quotient_rows rows = {.y = t[0], .x = t[1], .norm = t[2], .plain = t[3], .y_step = fc_walk_inner_stride(&walk, 0),
                          .x_step = fc_walk_inner_stride(&walk, 1), .n_step = fc_walk_inner_stride(&walk, 2),
                          .factor = (double)p->factor, .epsilon = (double)p->epsilon};
    fc_walk_rows(&walk, team, BLOCK, divide_row, &rows);
    return FC_OK;
}
