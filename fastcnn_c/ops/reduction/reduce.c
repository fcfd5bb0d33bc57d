/* y[kept] = reduction of x over the walk of reduced dimensions, fp32.
 *
 * Outputs are shared among threads, never the sum of one output, and a sum is cut into pieces of fixed size: the same number
 * for any thread count. The pieces add up in double. Where floats were too narrow for what leads to the result, it is made again in double.
 */
#include <float.h>
#include <math.h>

#include "kernels/kernels.h"
#include "ops/walk.h"

enum {
    ROW_PIECE = 2048,      /* floats of a row per kernel call, in four chains of vectors */
    STRIDED_PIECE = 256,
    COLUMNS = 64,          /* outputs made at once when neighbours in y are neighbours in x */
    COLUMN_PIECE = 128,    /* rows added up before the piece joins the total */
    OUTPUTS = 16,          /* outputs of a thread's turn when each has a row of its own */
};

static const int accumulate_of[FC_REDUCE_COUNT] = {
    [FC_RED_Sum] = FC_ACC_Sum, [FC_RED_Mean] = FC_ACC_Sum, [FC_RED_Max] = FC_ACC_Max, [FC_RED_Min] = FC_ACC_Min,
    [FC_RED_Prod] = FC_ACC_Prod, [FC_RED_L1] = FC_ACC_SumAbs, [FC_RED_L2] = FC_ACC_SumSquare, [FC_RED_SumSquare] = FC_ACC_SumSquare,
    [FC_RED_LogSum] = FC_ACC_Sum, [FC_RED_LogSumExp] = FC_ACC_SumExp,
    [FC_RED_MaxNumber] = FC_ACC_MaxNumber};

typedef struct reduce_rows {
    int64_t kind;
    double count;
    float *y;
    double *wide;      /* y where it is doubles, else NULL */
    const float *x;
    int64_t y_step, x_step;
    fc_walk reduced;
} reduce_rows;

static float identity_of(int acc)
{
    return acc == FC_ACC_Max || acc == FC_ACC_MaxNumber ? -INFINITY : acc == FC_ACC_Min ? INFINITY : acc == FC_ACC_Prod ? 1.0f : 0.0f;
}

/* NaN in either stays; in MaxNumber there is none. */
static double join(int acc, double total, double part)
{
    switch (acc) {
    case FC_ACC_MaxNumber:
    case FC_ACC_Max: return part > total || part != part ? part : total;
    case FC_ACC_Min: return part < total || part != part ? part : total;
    case FC_ACC_Prod: return total * part;
    default: return total + part;
    }
}

/* What to subtract before the exponential: the maximum, unless it is infinite. */
static float shift_of(double max) { return isfinite(max) ? (float)max : 0.0f; }

static double finished(const reduce_rows *r, double total, float shift)
{
    switch (r->kind) {
    case FC_RED_Mean: return total / r->count;
    case FC_RED_L2: return sqrt(total);
    case FC_RED_LogSum: return log(total);
    case FC_RED_LogSumExp: return log(total) + (double)shift;
    default: return total;
    }
}

static void store(const reduce_rows *r, int64_t at, double total, float shift)
{
    const double value = finished(r, total, shift);
    if (r->wide)
        r->wide[at] = value;
    else
        r->y[at] = (float)value;
}

/* Whether float pieces may have lost what the result, which is another function of them, still has: squares, products and partial sums
 * leave float's range before their root, quotient or logarithm does. */
static int is_beyond_float(const reduce_rows *r, double total)
{
    switch (r->kind) {
    case FC_RED_Max:
    case FC_RED_MaxNumber:
    case FC_RED_Min:
    case FC_RED_LogSumExp: return 0;
    case FC_RED_L2: return !(total >= FC_LEAST_SQUARES && total <= DBL_MAX);
    case FC_RED_Prod: return !(fabs(total) >= (double)FLT_MIN && fabs(total) <= DBL_MAX);
    default: return !(fabs(total) <= DBL_MAX);
    }
}

/* The same total one element after the other, in double. */
static double accumulate_wide(const reduce_rows *r, const float *x)
{
    const fc_walk *w = &r->reduced;
    const int outer = w->ndim - 1, acc = accumulate_of[r->kind];
    const int64_t count = fc_walk_count(w, outer), n = fc_walk_inner(w), step = fc_walk_inner_stride(w, 0);
    double total = (double)identity_of(acc);
    fc_cursor cursor;
    fc_cursor_seek(w, outer, 0, &cursor);
    for (int64_t row = 0; row < count; row++, fc_cursor_next(w, outer, &cursor))
        for (int64_t i = 0; i < n; i++) {
            const double v = (double)x[cursor.at[0] + i * step];
            total = join(acc, total, acc == FC_ACC_SumSquare ? v * v : acc == FC_ACC_SumAbs ? fabs(v) : v);
        }
    return total;
}

/* All the elements that one output reduces, a row of the reduced walk at a time. */
static double accumulate(const reduce_rows *r, const float *x, int acc, float shift)
{
    const fc_walk *w = &r->reduced;
    const int outer = w->ndim - 1;
    const int64_t count = fc_walk_count(w, outer), n = fc_walk_inner(w), step = fc_walk_inner_stride(w, 0);
    const int64_t piece = step == 1 ? ROW_PIECE : STRIDED_PIECE;
    double total = (double)identity_of(acc);
    if (outer == 0 && step == 1 && n <= ROW_PIECE)
        return join(acc, total, (double)fc_active->reduce->row[acc](x, (size_t)n, shift));
    fc_cursor cursor;
    fc_cursor_seek(w, outer, 0, &cursor);
    for (int64_t row = 0; row < count; row++, fc_cursor_next(w, outer, &cursor))
        for (int64_t i = 0; i < n; i += piece) {
            const float *from = x + cursor.at[0] + i * step;
            const int64_t m = fc_min(piece, n - i);
            float block[STRIDED_PIECE];
            if (step != 1) {
                fc_pack_row(block, from, step, m);
                from = block;
            }
            total = join(acc, total, (double)fc_active->reduce->row[acc](from, (size_t)m, shift));
        }
    return total;
}

static void reduce_each(void *context, const int64_t *at, int64_t n)
{
    const reduce_rows *r = context;
    for (int64_t i = 0; i < n; i++) {
        const float *x = r->x + at[1] + i * r->x_step;
        const float shift = r->kind == FC_RED_LogSumExp ? shift_of(accumulate(r, x, FC_ACC_Max, 0.0f)) : 0.0f;
        const double total = accumulate(r, x, accumulate_of[r->kind], shift);
        store(r, at[0] + i * r->y_step, is_beyond_float(r, total) ? accumulate_wide(r, x) : total, shift);
    }
}

static void accumulate_columns(const reduce_rows *r, double *total, const float *x, int64_t columns, int acc, const float *shift)
{
    const fc_walk *w = &r->reduced;
    const int outer = w->ndim - 1;
    const int64_t count = fc_walk_count(w, outer), n = fc_walk_inner(w), step = fc_walk_inner_stride(w, 0);
    for (int64_t j = 0; j < columns; j++)
        total[j] = (double)identity_of(acc);
    fc_cursor cursor;
    fc_cursor_seek(w, outer, 0, &cursor);
    for (int64_t row = 0; row < count; row++, fc_cursor_next(w, outer, &cursor))
        for (int64_t i = 0; i < n; i += COLUMN_PIECE) {
            float piece[COLUMNS];
            for (int64_t j = 0; j < columns; j++)
                piece[j] = identity_of(acc);
            fc_active->reduce->columns[acc](piece, x + cursor.at[0] + i * step, (size_t)fc_min(COLUMN_PIECE, n - i), (size_t)step,
                                            (size_t)columns, shift);
            for (int64_t j = 0; j < columns; j++)
                total[j] = join(acc, total[j], (double)piece[j]);
        }
}

static void reduce_columns(void *context, const int64_t *at, int64_t n)
{
    const reduce_rows *r = context;
    const float *x = r->x + at[1];
    double total[COLUMNS];
    float shift[COLUMNS] = {0};
    if (r->kind == FC_RED_LogSumExp) {
        accumulate_columns(r, total, x, n, FC_ACC_Max, NULL);
        for (int64_t j = 0; j < n; j++)
            shift[j] = shift_of(total[j]);
    }
    accumulate_columns(r, total, x, n, accumulate_of[r->kind], r->kind == FC_RED_LogSumExp ? shift : NULL);
    for (int64_t j = 0; j < n; j++)
        store(r, at[0] + j * r->y_step, is_beyond_float(r, total[j]) ? accumulate_wide(r, x + j) : total[j], shift[j]);
}

fc_status fc_run_reduce(const void *params, void *const *t, const fc_team *team)
{
    const fc_reduce *p = params;
    fc_walk kept;
    reduce_rows rows = {.kind = p->kind, .y = t[0], .wide = p->wide ? t[0] : NULL, .x = t[1], .count = 1.0};
    for (int64_t d = 0; d < p->reduced_ndim; d++)
        rows.count *= (double)p->reduced[d];
    fc_walk_make(&kept, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    fc_walk_make(&rows.reduced, p->reduced_ndim, p->reduced, 1, (const int64_t *const[]){p->reduced_strides});
    rows.y_step = fc_walk_inner_stride(&kept, 0);
    rows.x_step = fc_walk_inner_stride(&kept, 1);
    if (rows.x_step == 1 && fc_walk_inner(&kept) > 1 && fc_walk_inner_stride(&rows.reduced, 0) != 1)
        fc_walk_rows(&kept, team, COLUMNS, reduce_columns, &rows);
    else
        fc_walk_rows(&kept, team, OUTPUTS, reduce_each, &rows);
    return FC_OK;
}

size_t fc_scratch_reduce(const void *params, int threads)
{
    (void)params;
    (void)threads;
    return 0;
}
