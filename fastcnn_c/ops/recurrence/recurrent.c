/* LSTM, GRU and RNN after their input projection: what each time step adds from the state before it, fp32, or of an LSTM with weights of bytes.
 *
 * The hidden units are cut into blocks of a vector; a panel of the weights holds all gates of one block or of a few, so the
 * product and the cell of a panel need nothing of the others. Threads share the rows of a direction and never meet; when there
 * are fewer (direction, row) pairs than threads they share panels instead and meet after every time step. Either way each
 * number is made by the same operations. With weights of bytes all rows of a direction are quantised together in each time step: threads
 * share directions or panels.
 */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "ops/products/dynamic.h"
#include "team.h"
#include "recurrent_general.h"

enum { RNN = 0, LSTM = 1, GRU = 2, GRU_LINEAR = 3 };   /* GRU_LINEAR: linear_before_reset, one product a step instead of two */
/* Multiply-adds of a time step from which threads share its panels: some 25 us of one core. Meeting costs 0.2 us, but a core that
 * something else has taken is waited for each time: a GRU of 256 units and 40 steps, 0.36 ms alone, took 5 to 30 ms on two busy cores. */
enum { WORTH_MEETING = 1 << 19 };
enum { PANEL_VECTORS = 4 };   /* of a row: as many chains of sums as hide the latency of a multiply-add */

typedef struct recurrence {
    const fc_recurrent *p;
    const float *z, *r, *extra, *parameters;
    const int32_t *lens;
    float *y, *h[2], *c, *keep, *gates;   /* keep: the state after a GRU's reset gate */
    int64_t v, blocks, ld;                /* hidden units of a block, blocks, floats of a state row */
    fc_dynamic_weights bytes;             /* instead of r where p->nv is not 0, and the state of a direction as bytes */
    fc_dynamic_rows *rows;
    uint32_t *shape;                      /* of tile registers */
} recurrence;

/* What one pass over a time step computes: gates of the cell from `gate` on, `group` blocks a panel. */
typedef struct phase {
    int64_t gate, gates, group;
} phase;

/* One piece of work of one time step: rows [n, n + rows) of direction d, panels [first, last) of a phase. */
typedef struct piece {
    const phase *phase;
    int64_t d, n, rows, first, last;
} piece;

static const phase phases[4][2] = {[RNN] = {{0, 1, PANEL_VECTORS}}, [LSTM] = {{0, 4, 1}}, [GRU] = {{0, 2, 2}, {2, 1, PANEL_VECTORS}},
                                   [GRU_LINEAR] = {{0, 3, 1}}};

static int64_t gates_of(int64_t cell) { return cell == RNN ? 1 : cell == LSTM ? 4 : 3; }
static int64_t panels_of(const recurrence *r, const phase *f) { return fc_ceil_div(r->blocks, f->group); }

/* Room for the gates of a tile of rows: of one panel, with weights of bytes of all of them, whose cells then hide each other's latency. */
static size_t gates_bytes(const fc_recurrent *p)
{
    const int64_t panels = p->nv ? fc_ceil_div(p->h, fc_active->vector_length) : 1;
    return fc_align_up((size_t)(panels * FC_GEMM_MAX_MR * PANEL_VECTORS * FC_MAX_VECTOR) * sizeof(float));
}

static size_t row_bytes(const fc_recurrent *p) { return fc_align_up((size_t)p->h); }

size_t fc_scratch_recurrent(const void *params, int threads)
{
    (void)threads;
    const fc_recurrent *p = params;
    return gates_bytes(p) + (p->nv ? (size_t)p->n * (row_bytes(p) + sizeof(int32_t)) : 0);
}

static int64_t state_at(const recurrence *r, int64_t d, int64_t n) { return (d * r->p->n + n) * r->ld; }

/* The time that row n of direction d works on in iteration i, -1 past the end of its sequence. */
static int64_t time_of(const recurrence *r, int64_t d, int64_t n, int64_t i)
{
    const int64_t length = r->lens ? r->lens[n] : r->p->steps;
    if (i >= length)
        return -1;
    return d == 1 || r->p->reverse ? length - 1 - i : i;
}

/* gates[row][block][gate] of a panel = state * weights + z or bias. */
static void multiply(const recurrence *r, const piece *u, int64_t block, int64_t blocks, const float *state, const float *z)
{
    const fc_recurrent *p = r->p;
    const fc_tap zero = {0, 0};
    const int64_t per_block = u->phase->gates * r->v, n = blocks * per_block, all = gates_of(p->cell) * r->ld;
    const float *w = r->r + (u->d * all + u->phase->gate * r->ld) * p->h + block * p->h * per_block;
    const float *bias = p->cell == GRU_LINEAR && r->extra ? r->extra + u->d * all + block * per_block : NULL;
    const fc_gemm_args args = {
        .c = r->gates, .ldc = (size_t)n, .a = state + state_at(r, u->d, u->n), .lda = (size_t)r->ld, .tap = &zero, .taps = 1,
        .kc = (size_t)p->h, .b = w, .n = (size_t)n, .bias = bias,
        .residual = p->cell == GRU_LINEAR ? NULL : z + u->phase->gate * r->ld + block * per_block,
        .ldr = (size_t)p->z_row, .lo = r->parameters ? -INFINITY : -p->clip, .hi = r->parameters ? INFINITY : p->clip, .accumulate = 0};
    fc_active->gemm->tile[n / r->v][u->rows](&args);
}

/* The same with weights of bytes: the sums, then z, then the limits. */
static void multiply_bytes(const recurrence *r, const piece *u, int64_t block, int64_t blocks, const float *z)
{
    const fc_recurrent *p = r->p;
    const int64_t gates = gates_of(p->cell), per_block = gates * r->v, n = blocks * per_block;
    fc_dynamic_multiply(r->gates, n, r->rows, u->n, u->rows, &r->bytes, u->d * gates * r->ld + block * per_block, n, r->shape);
    for (int64_t i = 0; i < u->rows; i++) {
        float *row = r->gates + i * n;
        fc_active->binary[FC_BIN_Add][FC_VV](row, row, z + i * p->z_row + block * per_block, (size_t)n);
        if (!r->parameters && isfinite(p->clip))
            fc_active->unary[FC_FN_Clip](row, row, 1, (size_t)n, 0, -p->clip, p->clip);
    }
}

/* The state before step i of all rows of a direction as bytes. */
static void quantise_state(const recurrence *r, int64_t d, int64_t i)
{
    const fc_recurrent *p = r->p;
    const float *state = r->h[i & 1] + state_at(r, d, 0);
    float range[2] = {0.0f, 0.0f};
    fc_dynamic_widen(range, state, p->n, p->h, r->ld);
    fc_dynamic_scale(r->rows, range);
    fc_dynamic_quantise(r->rows, 0, state, p->n, p->h, r->ld);
}

/* The cell of one row of a panel, from its gates to its state. */
static void run_cell(const recurrence *r, const piece *u, int64_t block, int64_t blocks, int64_t row, const float *z, int64_t i)
{
    const fc_recurrent *p = r->p;
    const int64_t at = state_at(r, u->d, u->n + row) + block * r->v, per_block = u->phase->gates * r->v;
    fc_cell_args cell = {.h = r->h[1 - (i & 1)] + at, .before = r->h[i & 1] + at, .c = r->c + at,
                         .gates = r->gates + row * blocks * per_block, .step = (size_t)per_block, .count = (size_t)blocks};
    if (p->cell == LSTM)
        cell.extra = r->extra ? r->extra + (u->d * r->blocks + block) * 3 * r->v : NULL;
    else if (p->cell == GRU_LINEAR)
        cell.extra = z + row * p->z_row + block * per_block;
    if (p->cell == GRU && u->phase->gate == 0)
        cell.h = r->keep + at;
    if (r->parameters) {
        const fc_any_cell any = {.cell = p->cell, .gate = u->phase->gate, .v = r->v, .input_forget = p->input_forget,
                                 .functions = p->functions + 3 * u->d, .parameters = r->parameters + 6 * u->d, .clip = p->clip};
        fc_run_any_cell(&any, &cell);
    } else if (p->cell == RNN) {
        fc_active->unary[p->fn](cell.h, cell.gates, 1, (size_t)(blocks * r->v), 0, p->alpha, p->beta);
    } else if (p->cell == LSTM) {
        fc_active->recurrent->lstm(&cell);
    } else if (p->cell == GRU_LINEAR) {
        fc_active->recurrent->gru(&cell);
    } else if (u->phase->gate == 0) {
        fc_active->recurrent->gru_reset(&cell);
    } else {
        fc_active->recurrent->gru_update(&cell);
    }
}

/* Blocks [first, last) of output rows: the new state at its time; 0 past the end of a sequence, where the state stays. */
static void finish(const recurrence *r, const piece *u, int64_t first, int64_t last, int64_t i)
{
    const fc_recurrent *p = r->p;
    const int64_t from = first * r->v, n = fc_min(last * r->v, p->h) - from;
    for (int64_t row = u->n; row < u->n + u->rows; row++) {
        const int64_t t = time_of(r, u->d, row, i), at = state_at(r, u->d, row) + from;
        const float *before = r->h[i & 1] + at;
        float *after = r->h[1 - (i & 1)] + at;
        float *y = r->y ? r->y + u->d * p->y_direction + row * p->y_row + from : NULL;
        if (t < 0)
            memcpy(after, before, (size_t)n * sizeof *after);
        if (y && t < 0)
            memset(y + i * p->y_step, 0, (size_t)n * sizeof *y);
        else if (y)
            memcpy(y + t * p->y_step, after, (size_t)n * sizeof *y);
    }
}

static void step_piece(const recurrence *r, const piece *u, int64_t i)
{
    const fc_recurrent *p = r->p;
    const int64_t t = time_of(r, u->d, u->n, i), group = u->phase->group, step = p->nv ? u->last - u->first : 1;
    const float *z = r->z + t * p->z_step + u->n * p->z_row + u->d * gates_of(p->cell) * r->ld;
    const float *state = u->phase->gate ? r->keep : r->h[i & 1];
    for (int64_t q = u->first; t >= 0 && q < u->last; q += step) {
        const int64_t block = q * group, blocks = fc_min(group * step, r->blocks - block);
        if (p->nv)
            multiply_bytes(r, u, block, blocks, z);
        else
            multiply(r, u, block, blocks, state, z);
        for (int64_t row = 0; row < u->rows; row++)
            run_cell(r, u, block, blocks, row, z, i);
    }
    if (p->cell != GRU || u->phase->gate)
        finish(r, u, u->first * group, fc_min(u->last * group, r->blocks), i);
}

/* All rows [n0, n1) of direction d, in tiles of rows; rows of different lengths one by one. */
static void step_rows(const recurrence *r, piece u, int64_t n0, int64_t n1, int64_t i)
{
    const int64_t vectors = fc_min(u.phase->group, r->blocks) * u.phase->gates;
    const int64_t tile = r->lens ? 1 : fc_active->gemm->max_mr[vectors], tiles = fc_ceil_div(n1 - n0, tile);
    for (int64_t k = 0; k < tiles; k++) {
        u.n = n0 + (n1 - n0) * k / tiles;
        u.rows = n0 + (n1 - n0) * (k + 1) / tiles - u.n;
        step_piece(r, &u, i);
    }
}

/* state = initial (or 0) and its copies out at the end, for one row. */
static void load_row(const recurrence *r, float *state, const float *initial, int64_t d, int64_t n)
{
    float *row = state + state_at(r, d, n);
    memset(row, 0, (size_t)r->ld * sizeof *row);
    if (initial)
        memcpy(row, initial + d * r->p->state_direction + n * r->p->state_row, (size_t)r->p->h * sizeof *row);
}

static void store_row(const recurrence *r, float *out, const float *state, int64_t d, int64_t n)
{
    if (out)
        memcpy(out + d * r->p->state_direction + n * r->p->state_row, state + state_at(r, d, n), (size_t)r->p->h * sizeof *out);
}

/* This share's rows of all directions: of whole directions where these are quantised together. */
static void own_rows(const fc_recurrent *p, const fc_team *team, int64_t *begin, int64_t *end)
{
    fc_share(team, p->directions * (p->nv ? 1 : p->n), begin, end);
    *begin *= p->nv ? p->n : 1;
    *end *= p->nv ? p->n : 1;
}

/* Direction after direction: the weights of one stay in the cache. */
static void walk_time(const recurrence *r, const fc_team *team)
{
    const fc_recurrent *p = r->p;
    const int64_t pieces = p->directions * (p->nv ? 1 : p->n);
    const int apart = pieces >= team->count || p->n * p->h * p->h * gates_of(p->cell) < WORTH_MEETING, passes = p->cell == GRU ? 2 : 1;
    int64_t begin, end;
    own_rows(p, team, &begin, &end);
    for (int64_t d = 0; d < p->directions; d++) {
        const int64_t n0 = apart ? fc_max(begin - d * p->n, 0) : 0, n1 = apart ? fc_min(end - d * p->n, p->n) : p->n;
        for (int64_t k = 0; k < p->steps * passes; k++) {
            piece u = {.phase = &phases[p->cell][k % passes], .d = d, .first = 0};
            u.last = panels_of(r, u.phase);
            if (!apart)
                fc_share(team, u.last, &u.first, &u.last);
            if (n0 < n1 && u.first < u.last) {
                if (p->nv)
                    quantise_state(r, d, k);
                step_rows(r, u, n0, n1, k / passes);
            }
            if (!apart)
                fc_team_wait(team);
        }
    }
}

fc_status fc_run_recurrent(const void *params, void *const *t, const fc_team *team)
{
    const fc_recurrent *p = params;
    recurrence r = {.p = p, .y = t[1], .z = t[4], .r = t[5], .extra = t[6], .lens = t[7], .parameters = t[10],
                    .gates = team->scratch};
    uint8_t *bytes = (uint8_t *)team->scratch + gates_bytes(p);
    uint32_t shape = 0;
    fc_dynamic_rows rows = {.bytes = bytes, .ld = (int64_t)row_bytes(p)};
    r.v = fc_active->vector_length;
    r.blocks = fc_ceil_div(p->h, r.v);
    r.ld = r.blocks * r.v;
    r.bytes = fc_dynamic_of(t[5], t[11], p->directions * gates_of(p->cell) * r.ld, p->h, p->nv, (int)p->zeros);
    rows.sums = r.bytes.zero ? (int32_t *)(void *)(bytes + p->n * rows.ld) : NULL;
    r.rows = &rows;
    r.shape = &shape;
    const int64_t floats = p->directions * p->n * r.ld;
    r.h[0] = t[0];
    r.h[1] = r.h[0] + floats;
    r.c = r.h[1] + floats;
    r.keep = r.c + floats;
    for (int64_t n = 0; r.lens && n < p->n; n++)
        if (r.lens[n] < 0 || r.lens[n] > p->steps)
            return FC_ERR_INDEX;

    int64_t begin, end;
    own_rows(p, team, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        load_row(&r, r.h[0], t[8], k / p->n, k % p->n);
        load_row(&r, r.c, t[9], k / p->n, k % p->n);
    }
    fc_team_wait(team);
    walk_time(&r, team);
    if (p->nv && fc_active_bytes->qgemm->release)
        fc_active_bytes->qgemm->release();
    for (int64_t k = begin; k < end; k++) {
        store_row(&r, t[2], r.h[p->steps & 1], k / p->n, k % p->n);
        store_row(&r, t[3], r.c, k / p->n, k % p->n);
    }
    return FC_OK;
}
