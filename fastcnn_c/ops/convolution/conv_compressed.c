/* Convolution whose weights are short in memory: panel by panel they become floats in a part of scratch that L2 keeps, and conv multiplies those. One
 * pixel reads each weight once: its product is made from what lies in memory.
 */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "ops/epilogue.h"
#include "team.h"

_Static_assert(offsetof(fc_conv_compressed, pair) == offsetof(fc_conv, pair), "the fields of conv come first");

/* A panel of the weights, columns [column, column + n) of y, and how many vectors wide it is. */
typedef struct panel {
    const char *at;
    const float *scale;
    int64_t column, n, nv;
} panel;

static fc_conv conv_of(const fc_conv_compressed *p)
{
    fc_conv conv;
    memcpy(&conv, p, sizeof conv);
    conv.split_columns = 0;
    return conv;
}

static int is_row(const fc_conv_compressed *p) { return p->n * p->oh * p->ow * p->kh * p->kw == 1 && !p->band; }

static size_t widened_bytes(const fc_conv_compressed *p)
{
    return fc_align_up((size_t)(p->chunk * p->kh * p->kw * p->nv * fc_active->vector_length) * sizeof(float));
}

size_t fc_scratch_conv_compressed(const void *params, int threads)
{
    const fc_conv_compressed *p = params;
    const fc_conv conv = conv_of(p);
    return is_row(p) ? 0 : widened_bytes(p) + fc_scratch_conv(&conv, threads);
}

static size_t panel_bytes(const fc_conv_compressed *p, int64_t nv)
{
    const int64_t width = nv * fc_active->vector_length;
    return (size_t)(width * (p->kh * p->kw * p->ic * p->w_bytes + (p->w_bytes == 1 ? (int64_t)sizeof(float) : 0)));
}

static panel panel_of(const fc_conv_compressed *p, const char *w, int64_t i)
{
    const int64_t v = fc_active->vector_length, column = i * p->nv * v, n = fc_min(p->nv * v, p->oc - column), nv = fc_ceil_div(n, v);
    const char *at = w + (size_t)i * panel_bytes(p, p->nv);
    const int scaled = p->w_bytes == 1;
    return (panel){at + (scaled ? (size_t)(nv * v) * sizeof(float) : 0), scaled ? (const float *)(const void *)at : NULL, column, n, nv};
}

/* A pixel times a panel. */
static void run_row(const fc_conv_compressed *p, void *const *t, const panel *q)
{
    float *y = (float *)t[0] + q->column;
    const float *bias = t[3], *residual = t[4], *slope = t[5];
    const fc_compressed_args args = {.y = y, .init = bias ? bias + q->column : NULL, .a = t[1], .b = q->at, .scale = q->scale,
                                     .rows = (size_t)p->ic, .n = (size_t)q->n};
    fc_active->compressed->row[p->w_bytes][q->nv](&args);
    for (int64_t j = 0; residual && j < q->n; j++)
        y[j] += residual[q->column + j];
    if (slope || p->fn != FC_FN_None)
        fc_activate_row(y, (size_t)q->n, p->fn, p->alpha, p->beta, slope ? slope + q->column : NULL);
}

/* Input channels from `first` on of a panel: the first of them bring bias and residual, the others add to y, the last bring what follows the sum.
 * Meanwhile the weights that come next, before `end`, are asked for. */
static fc_status run_chunk(const fc_conv_compressed *p, void *const *t, const fc_team *team, const panel *q, int64_t first, const char *end)
{
    const int64_t ic = fc_min(p->chunk, p->ic - first), k = ic * p->kh * p->kw, width = q->nv * fc_active->vector_length;
    const char *at = q->at + first * p->kh * p->kw * width * p->w_bytes, *after = at + k * width * p->w_bytes;
    const int last = first + ic == p->ic;
    float *widened = team->scratch, *y = (float *)t[0] + q->column;
    fc_active->compressed->widen[p->w_bytes][q->nv](widened, at, q->scale, (size_t)k);
    fc_conv conv = conv_of(p);
    conv.ic = ic;
    conv.oc = q->n;
    if (!last)
        conv.fn = FC_FN_None;
    if (first) {
        conv.r_image = p->y_image;
        conv.r_row = p->y_row;
        conv.r_pixel = p->y_pixel;
    }
    float *residual = first ? y : t[4] ? (float *)t[4] + q->column : NULL;
    void *const operands[] = {y, (float *)t[1] + first, widened, t[3] && !first ? (float *)t[3] + q->column : NULL, residual,
                              t[5] && last ? (float *)t[5] + q->column : NULL, NULL};
    fc_prefetch next = {.range = {{after, fc_min(k * width * p->w_bytes, end - after) + after}}};
    const fc_team alone = {.prefetch = after < end ? &next : NULL, .count = 1, .scratch = (char *)team->scratch + widened_bytes(p), .apart = 1};
    return fc_run_conv(&conv, operands, &alone);
}

fc_status fc_run_conv_compressed(const void *params, void *const *t, const fc_team *team)
{
    const fc_conv_compressed *p = params;
    const int64_t panels = fc_ceil_div(p->oc, p->nv * fc_active->vector_length);
    int64_t begin, end;
    assert(p->groups == 1 && p->nv <= FC_COMPRESSED_MAX_NV && (p->w_bytes == 1 || p->w_bytes == 2));
    fc_share(team, panels, &begin, &end);
    if (begin >= end)
        return FC_OK;
    const panel last = panel_of(p, t[2], end - 1);
    const char *after = last.at + p->ic * p->kh * p->kw * last.nv * fc_active->vector_length * p->w_bytes;
    for (int64_t i = begin; i < end; i++) {
        const panel q = panel_of(p, t[2], i);
        if (is_row(p)) {
            run_row(p, t, &q);
            continue;
        }
        for (int64_t first = 0; first < p->ic; first += p->chunk) {
            const fc_status status = run_chunk(p, t, team, &q, first, after);
            if (status != FC_OK)
                return status;
        }
    }
    return FC_OK;
}
