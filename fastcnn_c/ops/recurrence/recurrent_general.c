/* Cells of recurrent layers with any functions: a block at a time through the elementwise kernels, the rest by plain loops.
 *
 * y = x * w + z is what a loop below calls a gate's sum; clip applies to it just before its function, as ONNX says.
 */
#include "recurrent_general.h"

enum { RNN = 0, LSTM = 1, GRU = 2 };

/* x[0..v) = function k of (x + a * b) clipped; a NULL: of x. */
static void pass(const fc_any_cell *cell, int64_t k, float *x, const float *a, const float *b)
{
    for (int64_t l = 0; l < cell->v; l++) {
        const float sum = a ? x[l] + a[l] * b[l] : x[l];
        x[l] = sum > cell->clip ? cell->clip : sum < -cell->clip ? -cell->clip : sum;
    }
    fc_active->unary[cell->functions[k]](x, x, 1, (size_t)cell->v, 0, cell->parameters[2 * k], cell->parameters[2 * k + 1]);
}

static void load(const fc_any_cell *cell, float *x, const float *g)
{
    for (int64_t l = 0; l < cell->v; l++)
        x[l] = g[l];
}

/* Gates input, output, forget, new. */
static void lstm(const fc_any_cell *cell, const float *g, const float *peep, float *c, float *h)
{
    const int64_t v = cell->v;
    float in[FC_MAX_VECTOR], out[FC_MAX_VECTOR], forget[FC_MAX_VECTOR], fresh[FC_MAX_VECTOR];
    load(cell, in, g);
    load(cell, out, g + v);
    load(cell, forget, g + 2 * v);
    load(cell, fresh, g + 3 * v);
    pass(cell, 0, in, peep, c);
    if (!cell->input_forget)
        pass(cell, 0, forget, peep ? peep + 2 * v : NULL, c);
    pass(cell, 1, fresh, NULL, NULL);
    for (int64_t l = 0; l < v; l++)
        c[l] = (cell->input_forget ? 1.0f - in[l] : forget[l]) * c[l] + in[l] * fresh[l];
    pass(cell, 0, out, peep ? peep + v : NULL, c);
    fc_active->unary[cell->functions[2]](fresh, c, 1, (size_t)v, 0, cell->parameters[4], cell->parameters[5]);
    for (int64_t l = 0; l < v; l++)
        h[l] = out[l] * fresh[l];
}

/* new + update * (before - new) */
static void blend(const fc_any_cell *cell, float *h, const float *update, const float *before, const float *fresh)
{
    for (int64_t l = 0; l < cell->v; l++)
        h[l] = fresh[l] + update[l] * (before[l] - fresh[l]);
}

/* Gates update and reset; c keeps the update, h becomes what the product for the new gate takes. */
static void gru_reset(const fc_any_cell *cell, const float *g, const float *before, float *c, float *h)
{
    float reset[FC_MAX_VECTOR];
    load(cell, c, g);
    load(cell, reset, g + cell->v);
    pass(cell, 0, c, NULL, NULL);
    pass(cell, 0, reset, NULL, NULL);
    for (int64_t l = 0; l < cell->v; l++)
        h[l] = reset[l] * before[l];
}

/* Three gates, recurrent sums in g and sums over the input in z. */
static void gru_linear(const fc_any_cell *cell, const float *g, const float *z, const float *before, float *h)
{
    const int64_t v = cell->v;
    float one[FC_MAX_VECTOR], update[FC_MAX_VECTOR], reset[FC_MAX_VECTOR], fresh[FC_MAX_VECTOR];
    for (int64_t l = 0; l < v; l++)
        one[l] = 1.0f;
    load(cell, update, z);
    load(cell, reset, z + v);
    load(cell, fresh, z + 2 * v);
    pass(cell, 0, update, g, one);
    pass(cell, 0, reset, g + v, one);
    pass(cell, 1, fresh, g + 2 * v, reset);
    blend(cell, h, update, before, fresh);
}

void fc_run_any_cell(const fc_any_cell *cell, const fc_cell_args *args)
{
    const int64_t v = cell->v;
    for (size_t b = 0; b < args->count; b++) {
        const float *g = args->gates + b * args->step, *before = args->before + b * (size_t)v;
        float *c = args->c + b * (size_t)v, *h = args->h + b * (size_t)v, fresh[FC_MAX_VECTOR];
        if (cell->cell == LSTM) {
            lstm(cell, g, args->extra ? args->extra + b * 3 * (size_t)v : NULL, c, h);
        } else if (cell->cell == RNN) {
            load(cell, h, g);
            pass(cell, 0, h, NULL, NULL);
        } else if (cell->cell != GRU) {
            gru_linear(cell, g, args->extra + b * 3 * (size_t)v, before, h);
        } else if (cell->gate == 0) {
            gru_reset(cell, g, before, c, h);
        } else {
            load(cell, fresh, g);
            pass(cell, 1, fresh, NULL, NULL);
            blend(cell, h, c, before, fresh);
        }
    }
}
