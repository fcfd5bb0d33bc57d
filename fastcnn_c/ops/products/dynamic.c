/* Products of rows that are quantised while the model runs with constant weights of bytes (dynamic.h): sums are exact, zero points come after.
 *
 * sum (x - zx)(w - zw) = sum x w - zx * net - zw * sum x, where net is the sum of w - zw: the last two are offsets of the sums.
 */
#include <math.h>

#include "kernels/kernels.h"
#include "dynamic.h"
#include "team.h"

enum { WORD = 4, LARGEST = 255, MOST_COLUMNS = FC_GEMM_MAX_NV * FC_MAX_VECTOR };

void fc_dynamic_widen(float range[2], const float *x, int64_t rows, int64_t k, int64_t ld)
{
    for (int64_t i = 0; i < rows; i++) {
        range[0] = fminf(range[0], fc_active->reduce->row[FC_ACC_Min](x + i * ld, (size_t)k, 0.0f));
        range[1] = fmaxf(range[1], fc_active->reduce->row[FC_ACC_Max](x + i * ld, (size_t)k, 0.0f));
    }
}

void fc_dynamic_scale(fc_dynamic_rows *to, const float range[2])
{
    to->scale = range[1] > range[0] ? (range[1] - range[0]) / (float)LARGEST : 1.0f;
    to->zero = (int32_t)nearbyintf(fmaxf(0.0f, fminf((float)LARGEST, -range[0] / to->scale)));
}

void fc_dynamic_quantise(const fc_dynamic_rows *to, int64_t first, const float *x, int64_t rows, int64_t k, int64_t ld)
{
    for (int64_t i = 0; i < rows; i++) {
        uint8_t *bytes = to->bytes + (first + i) * to->ld;
        fc_active_bytes->quantise->row(bytes, x + i * ld, (size_t)k, to->scale, to->zero);
        int32_t sum = 0;
        for (int64_t j = 0; to->sums && j < k; j++)
            sum += bytes[j];
        if (to->sums)
            to->sums[first + i] = sum;
    }
}

/* One panel: rows one by one where weights have zero points, as then each has offsets of its own. */
static void multiply_panel(const fc_dynamic_rows *x, int64_t first, int64_t rows, const fc_dynamic_weights *w, int64_t column, fc_qgemm_args *args)
{
    int32_t common[MOST_COLUMNS], own[MOST_COLUMNS];
    float factor[MOST_COLUMNS];
    const int64_t n = (int64_t)args->n, nv = n / fc_active->vector_length, tall = w->zero ? 1 : fc_active_bytes->qgemm->max_mr[nv];
    fc_active->binary[FC_BIN_Mul][FC_VS](factor, w->scale + column, &x->scale, (size_t)n);
    for (int64_t j = 0; j < n; j++)
        common[j] = -x->zero * w->net[column + j];
    args->factor = factor;
    args->offset = w->zero ? own : common;
    args->b = w->w + column * fc_ceil_div(w->k, WORD) * WORD;
    for (int64_t i = 0; i < rows; i += tall) {
        for (int64_t j = 0; w->zero && j < n; j++)
            own[j] = common[j] - w->zero[column + j] * x->sums[first + i];
        args->a = x->bytes + (first + i) * x->ld;
        fc_active_bytes->qgemm->tile[nv][fc_min(tall, rows - i)](args);
        args->c = (float *)args->c + tall * (int64_t)args->ldc;
    }
}

void fc_dynamic_multiply(float *y, int64_t ldy, const fc_dynamic_rows *x, int64_t first, int64_t rows, const fc_dynamic_weights *w,
                         int64_t column, int64_t n, uint32_t *shape)
{
    const int64_t run = 0, panel = w->nv * fc_active->vector_length;
    for (int64_t j = 0; j < n; j += panel) {
        fc_qgemm_args args = {.c = y + j, .ldc = (size_t)ldy, .lda = (size_t)x->ld, .run = &run, .runs = 1, .words = (size_t)fc_ceil_div(w->k, WORD),
                              .n = (size_t)fc_min(panel, n - j), .lo = -INFINITY, .hi = INFINITY, .to = FC_Q_FLOATS, .shape = shape};
        multiply_panel(x, first, rows, w, column + j, &args);
    }
}

/* ---- the step ---- */

size_t fc_scratch_dynamic_product(const void *params, int threads)
{
    (void)params;
    return 2 * sizeof(float) * (size_t)threads;
}

/* Rows that count for the range: up to the longest sequence. */
static int64_t counted_rows(const fc_dynamic_product *p, const int32_t *lens)
{
    int64_t longest = lens ? 0 : p->rows;
    for (int64_t i = 0; lens && i < p->batch; i++)
        longest = fc_max(longest, fc_min(lens[i] * p->batch, p->rows));
    return longest;
}

/* The range of all rows, of which each share looks at its own. */
static void common_range(float range[2], const fc_dynamic_product *p, const float *x, const int32_t *lens, const fc_team *team)
{
    float *ranges = team->shared, *own = ranges + 2 * team->id;
    int64_t begin, end;
    fc_share(team, counted_rows(p, lens), &begin, &end);
    own[0] = own[1] = 0.0f;
    fc_dynamic_widen(own, x + begin * p->x_row, end - begin, p->k, p->x_row);
    fc_team_wait(team);
    range[0] = range[1] = 0.0f;
    fc_dynamic_widen(range, ranges, team->count, 2, 2);
}

fc_status fc_run_dynamic_product(const void *params, void *const *t, const fc_team *team)
{
    const fc_dynamic_product *p = params;
    const fc_dynamic_weights w = fc_dynamic_of(t[4], t[5], p->columns, p->k, p->nv, (int)p->zeros);
    fc_dynamic_rows rows = {.bytes = t[2], .sums = w.zero ? t[3] : NULL, .ld = fc_ceil_div(p->k, WORD) * WORD};
    const float *x = t[1], *bias = t[6];
    float *y = t[0], range[2];
    uint32_t shape = 0;
    int64_t begin, end;
    common_range(range, p, x, t[7], team);
    fc_dynamic_scale(&rows, range);
    fc_share(team, p->rows, &begin, &end);
    fc_dynamic_quantise(&rows, begin, x + begin * p->x_row, end - begin, p->k, p->x_row);
    fc_team_wait(team);
    const int64_t panel = p->nv * fc_active->vector_length;
    fc_share(team, fc_ceil_div(p->columns, panel), &begin, &end);
    for (int64_t column = begin * panel; column < fc_min(end * panel, p->columns); column += panel) {
        const int64_t n = fc_min(panel, p->columns - column);
        fc_dynamic_multiply(y + column, p->columns, &rows, 0, p->rows, &w, column, n, &shape);
        for (int64_t i = 0; bias && i < p->rows; i++)
            fc_active->binary[FC_BIN_Add][FC_VV](y + i * p->columns + column, y + i * p->columns + column, bias + column, (size_t)n);
    }
    if (fc_active_bytes->qgemm->release)
        fc_active_bytes->qgemm->release();
    return FC_OK;
}
