/* Convolution of 8-bit values as implicit GEMM: what conv.c does with floats. The offset of an output channel counts on all of its taps: kernel
 * rows that only meet padding are left out where what they would add is known, the zero point times the sums of their weights.
 */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "qconv_band.h"
#include "requantise.h"
#include "team.h"

#define MOST_FACTOR 0x1p20f    /* bytes, whose differences are below 2^9, times this stay below 2^29 */
/* Bytes between pixels, and values of k, from which on a tile asks for its outputs and residuals before it begins: those of volumes. */
enum { FAR_PIXEL = 512, LONG_TILE = 512 };
/* Bytes of weights from which on a matrix times a vector asks for what lies so far ahead, as in conv.c: fewer are in L2. */
enum { STREAM_FROM = 1 << 20, STREAM_AHEAD = 16384 };

/* What scratch has, one after the other: offsets of runs, those of edge columns, the band, a panel of w in 16 bits. */
static size_t runs_bytes(const fc_qconv *p) { return fc_align_up((size_t)(p->kh * p->kw + p->kh) * sizeof(int64_t)); }

static size_t band_bytes(const fc_qconv *p)
{
    const size_t elements = (size_t)(band_rows(p, p->block) * band_width(p) * p->ic * p->groups + WORD);
    if (p->band == BAND_OF_EDGES && !p->wide)
        return fc_align_up((size_t)(edges_of(p).count * edge_rows(p, p->block) * edge_row(p)));
    return p->wide ? fc_align_up(sizeof(uint16_t) * elements) : p->band ? fc_align_up(elements) : 0;
}

static size_t panel_bytes(const fc_qconv *p)
{
    const int64_t runs = p->dw == 1 ? p->kh : p->kh * p->kw;
    return p->wide ? sizeof(int16_t) * (size_t)(runs * run_words(p) * WORD * p->nv * fc_active->vector_length) : 0;
}

size_t fc_scratch_qconv(const void *params, int threads)
{
    (void)threads;
    return runs_bytes(params) + band_bytes(params) + panel_bytes(params);
}

/* How k lies in memory whose rows, pixels and groups are so far apart: a kernel row is one run where its pixels are neighbours. */
static void set_memory(qconv_run *c, int64_t row, int64_t pixel, int64_t group)
{
    const fc_qconv *p = &c->p;
    const int whole_rows = p->dw == 1 && (pixel == p->ic || p->band != BAND_OF_EDGES);
    c->row = row;
    c->pixel = pixel;
    c->group = group;
    c->words = fc_ceil_div((whole_rows ? p->kw : 1) * p->ic, WORD);
    c->count = 0;
    for (int64_t r = 0; r < p->kh; r++)
        for (int64_t s = 0; s < (whole_rows ? 1 : p->kw); s++)
            c->runs[c->count++] = r * p->dh * row + s * p->dw * pixel;
}

/* What a tile's epilogue does, whatever tile. */
static fc_qgemm_args args_of(qconv_run *c)
{
    const fc_qconv *p = &c->p;
    return (fc_qgemm_args){.ldc = (size_t)p->y_pixel, .lda = (size_t)(p->sw * c->pixel), .run = c->runs, .runs = (size_t)c->count,
                           .words = (size_t)c->words, .own_factor = p->own_factor, .own_lo = p->own_lo, .own_hi = p->own_hi,
                           .ldr = (size_t)p->r_pixel, .r_factor = p->r_factor, .r_zero = (int32_t)p->r_zero, .lo = p->lo, .hi = p->hi,
                           .zero = (int32_t)p->zero, .byte_lo = fc_byte_lo(p->lo, p->zero), .byte_hi = fc_byte_hi(p->hi, p->zero),
                           .to = (int)p->to, .bounded = c->bounded, .near = c->near, .shape = &c->shape};
}

/* Asks for what a long tile of `rows` pixels from x0 on reads and writes at its end: pixels so far apart lie in lines that no prefetcher foresees. */
static void ask_for_pixels(const qconv_run *c, const fc_qgemm_args *args, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) {
        __builtin_prefetch((const char *)args->c + i * c->p.y_pixel * c->y_bytes, 1, 3);
        if (args->residual)
            __builtin_prefetch(args->residual + i * c->p.r_pixel, 0, 3);
    }
}

/* Where column x of output row oy and its residual lie, of channels from `column` on. */
static void place_outputs(const qconv_run *c, fc_qgemm_args *args, int64_t image, int64_t oy, int64_t x, int64_t column)
{
    const fc_qconv *p = &c->p;
    args->c = c->y + (image * p->y_image + oy * p->y_row + x * p->y_pixel + column) * c->y_bytes;
    args->residual = c->residual ? c->residual + image * p->r_image + oy * p->r_row + x * p->r_pixel + column : NULL;
}

/* Output column x of a row: where the operands of a tile of the panel of channels from `column` on begin. a: of column 0. */
static void place_tile(const qconv_run *c, fc_qgemm_args *args, const uint8_t *a, int64_t image, int64_t oy, int64_t x, int64_t column)
{
    args->a = a + x * (int64_t)args->lda * c->element;
    place_outputs(c, args, image, oy, x, column);
}

/* Rows of the next of the tiles that cover `left` rows: of one height but for the last two. */
static int64_t next_height(int64_t left, int64_t most) { return left >= 2 * most ? most : left > most ? (left + 1) / 2 : left; }

/* Columns [c->begin, c->end) of output row oy times a panel of n channels from `column` on: by tiles that take turns, the rest a tile at a time. */
static void run_row(const qconv_run *c, fc_qgemm_args *args, const uint8_t *a, int64_t image, int64_t oy, int64_t column)
{
    enum { PAIR = 2 * FC_TURNS_MR };
    const int64_t nv = fc_ceil_div((int64_t)args->n, fc_active->vector_length);
    const int64_t pairs = c->turns && args->n == FC_TURNS_NV * (size_t)fc_active->vector_length ? (c->end - c->begin) / PAIR : 0;
    const int64_t most = c->max_mr[nv];
    const fc_qgemm_kernel *tiles = c->tile[nv];
    if (pairs) {
        place_tile(c, args, a, image, oy, c->begin, column);
        c->turns(args, (size_t)pairs);
        args->prefetch += args->prefetch_step * args->runs * args->words * (size_t)(2 * pairs);
    }
    for (int64_t x = c->begin + pairs * PAIR, rows; x < c->end; x += rows) {
        rows = next_height(c->end - x, most);
        place_tile(c, args, a, image, oy, x, column);
        if (c->apart)
            ask_for_pixels(c, args, rows);
        tiles[rows](args);
        args->prefetch += args->prefetch_step * args->runs * args->words;
    }
}

/* Rows [oy0, oy1) of all edge columns times a panel of channels from `column` on. */
static void run_edges(const qconv_run *c, const fc_qgemm_args *panel, int64_t image, int64_t oy0, int64_t oy1, int64_t column)
{
    const fc_qconv *p = &c->p;
    const int64_t nv = fc_ceil_div((int64_t)panel->n, fc_active->vector_length);
    fc_qgemm_args args = *panel;
    args.run = c->runs + p->kh * p->kw;
    args.runs = (size_t)p->kh;
    args.words = (size_t)(edge_row(p) / WORD);
    args.lda = (size_t)(p->sh * edge_row(p));
    args.ldc = (size_t)p->y_row;
    args.ldr = (size_t)p->r_row;
    args.prefetch = NULL;
    args.prefetch_step = 0;
    for (int64_t i = 0; i < c->edges.count; i++)
        for (int64_t oy = oy0, rows; oy < oy1; oy += rows) {
            rows = next_height(oy1 - oy, c->max_mr[nv]);
            place_outputs(c, &args, image, oy, edge_column(c->edges, i), column);
            args.a = c->band + (i * edge_rows(p, p->block) + (oy - oy0) * p->sh) * edge_row(p);
            c->tile[nv][rows](&args);
        }
}

/* The table for rows [oy0, oy1) of what the panels [q0, q1) of all groups have written: whole pixels where they are all. */
static void look_up(const qconv_run *c, int64_t image, int64_t oy0, int64_t oy1, int64_t q0, int64_t q1)
{
    const fc_qconv *p = &c->p;
    const int64_t nr = p->nv * fc_active->vector_length, n = fc_min(q1 * nr, p->oc) - q0 * nr, whole = n == p->oc;
    const fc_table_kernel lookup = fc_active_table();
    for (int64_t oy = oy0; oy < oy1; oy++)
        for (int64_t g = 0; g < (whole ? 1 : p->groups); g++) {
            uint8_t *y = c->y + image * p->y_image + oy * p->y_row + c->first * p->y_pixel + g * p->oc + q0 * nr;
            lookup(y, (size_t)p->y_pixel, y, (size_t)p->y_pixel, (size_t)(c->last - c->first), (size_t)(whole ? p->groups * n : n), c->table);
        }
}

/* A panel for output row oy: `whole`, or in `part` without the outer kernel rows that see nothing but padding. offset: room for one of nr. */
static fc_qgemm_args *args_for_row(const qconv_run *c, fc_qgemm_args *whole, fc_qgemm_args *part, int64_t oy, int64_t column, int32_t *offset)
{
    const fc_qconv *p = &c->p;
    const int64_t top = oy * p->sh - p->pt, all = p->groups * p->oc;
    const int64_t first = fc_min(top < 0 ? fc_ceil_div(-top, p->dh) : 0, p->kh), end = fc_min(p->kh, fc_ceil_div(p->ih - top, p->dh));
    if (!c->skips || first >= end || (first == 0 && end == p->kh))
        return whole;
    const int64_t runs = c->count / p->kh;
    *part = *whole;
    part->run += first * runs;
    part->runs = (size_t)((end - first) * runs);
    part->b += first * runs * c->words * WORD * fc_ceil_div((int64_t)part->n, fc_active->vector_length) * fc_active->vector_length * c->element;
    if (!c->row_sums)
        return part;
    memcpy(offset, whole->offset, part->n * sizeof *offset);
    for (int64_t r = 0; r < p->kh; r++)
        for (size_t j = 0; (r < first || r >= end) && j < part->n; j++)
            offset[j] += (int32_t)p->x_zero * c->row_sums[r * all + column + (int64_t)j];
    part->offset = offset;
    return part;
}

/* The tiles of `rows` rows of a panel ask for the next one, of so many channels, as evenly as whole lines allow. A matrix times a vector is a
 * stream. */
static void ask_for_next(const qconv_run *c, fc_qgemm_args *panel, int64_t channels, int64_t rows)
{
    const int64_t v = fc_active->vector_length, nv = fc_ceil_div((int64_t)panel->n, v), k = c->count * c->words;
    if (!c->wide && c->p.n * c->p.oh * c->p.ow == 1 && c->p.groups * c->p.oc * k * WORD >= STREAM_FROM) {
        panel->prefetch = (const char *)panel->b + STREAM_AHEAD;
        panel->prefetch_step = (size_t)(nv * v * WORD);
        return;
    }
    const int64_t tiles = rows * fc_max(fc_ceil_div(c->end - c->begin, c->max_mr[nv]), 1);
    panel->prefetch = (const char *)panel->b + k * WORD * nv * v;
    panel->prefetch_step = (size_t)fc_ceil_div(fc_ceil_div(channels, v) * v * WORD, tiles);
}

/* Rows [oy0, oy1) of one image times panels [q0, q1) of each group; a belongs to row oy0. */
static void run_block(qconv_run *c, const uint8_t *a, int64_t image, int64_t oy0, int64_t oy1, int64_t q0, int64_t q1)
{
    const fc_qconv *p = &c->p;
    const int64_t v = fc_active->vector_length, nr = p->nv * v, k = c->count * c->words;
    const int64_t packed = fc_ceil_div(p->oc, v) * v * k * WORD;
    int32_t offset[FC_GEMM_MAX_NV * FC_MAX_VECTOR];
    fc_qgemm_args panel = args_of(c), part;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t i = q0; i < q1; i++) {
            const int64_t column = g * p->oc + i * nr;
            panel.n = (size_t)fc_min(nr, p->oc - i * nr);
            panel.b = c->w + g * packed + i * nr * k * WORD;
            panel.offset = c->offset + column;
            panel.factor = c->factor + column;
            ask_for_next(c, &panel, i + 1 < q1 ? fc_min(nr, p->oc - (i + 1) * nr) : 0, oy1 - oy0);
            if (c->wide) {
                c->wide->weights(c->panel, panel.b, (size_t)k, (size_t)fc_ceil_div((int64_t)panel.n, v));
                panel.b = (const int8_t *)c->panel;
            }
            for (int64_t oy = oy0; oy < oy1; oy++) {
                fc_qgemm_args *args = args_for_row(c, &panel, &part, oy, column, offset);
                run_row(c, args, a + (g * c->group + (oy - oy0) * p->sh * c->row) * c->element, image, oy, column);
                panel.prefetch = args->prefetch;
            }
            run_edges(c, &panel, image, oy0, oy1, column);
        }
    if (c->table)
        look_up(c, image, oy0, oy1, q0, q1);
}

/* The columns whose tiles run along the row, and how the others read their band. */
static void set_edges(qconv_run *c)
{
    const fc_qconv *p = &c->p;
    c->end = p->ow;
    if (p->band != BAND_OF_EDGES)
        return;
    c->edges = edges_of(p);
    c->begin = c->edges.left;
    c->end = c->edges.right;
    for (int64_t r = 0; r < p->kh; r++)
        c->runs[p->kh * p->kw + r] = r * p->dh * edge_row(p);
}

/* Output rows [begin, end) counted over all images, `block` at a time. */
static void run_rows(qconv_run *c, int64_t begin, int64_t end, int64_t q0, int64_t q1)
{
    const fc_qconv *p = &c->p;
    const int64_t row = band_width(p) * p->ic;
    if (p->band == BAND)
        set_memory(c, row, p->ic, band_rows(p, p->block) * row);
    else
        set_memory(c, p->x_row, p->x_pixel, p->ic);
    set_edges(c);
    c->last = p->ow;
    while (begin < end) {
        const int64_t image = begin / p->oh, oy = begin % p->oh, rows = fc_min(fc_min(p->block, p->oh - oy), end - begin);
        const uint8_t *x = c->x + image * p->x_image;
        if (p->band == BAND)
            fill_band(c, x, oy, rows);
        else if (c->edges.count)
            fill_edges(p, c->band, x, oy, rows);
        run_block(c, p->band == BAND ? c->band : x + (oy * p->sh - p->pt) * p->x_row - p->pl * p->x_pixel, image, oy, oy + rows, q0, q1);
        begin += rows;
    }
}

/* The same for pixels [begin, end) of images that are one row each. */
static void run_pixels(qconv_run *c, int64_t block, int64_t begin, int64_t end, int64_t q0, int64_t q1)
{
    const fc_qconv *p = &c->p;
    if (c->wide)
        set_memory(c, 0, p->ic, block * p->ic);
    else
        set_memory(c, p->x_row, p->x_pixel, p->ic);
    while (begin < end) {
        const int64_t image = begin / p->ow;
        const uint8_t *x = c->x + image * p->x_image;
        c->first = begin % p->ow;
        c->last = fc_min(fc_min(c->first + block, p->ow), c->first + end - begin);
        c->begin = c->first;
        c->end = c->last;
        for (int64_t g = 0; c->wide && g < p->groups; g++)
            fill_pixels(c, g * c->group, x + c->first * p->x_pixel + g * p->ic, c->last - c->first);
        run_block(c, c->wide ? c->band - c->first * c->pixel * c->element : x, image, 0, 1, q0, q1);
        begin += c->last - c->first;
    }
}

/* A 1x1 window over neighbouring pixels knows no rows: an image is one, so that tiles are full whatever its width. */
static int make_flat(fc_qconv *p, int has_residual)
{
    if (p->band || p->kh * p->kw * p->sh * p->sw != 1 || p->pt || p->pl || p->ih != p->oh || p->iw != p->ow || p->x_row != p->iw * p->x_pixel ||
        p->y_row != p->ow * p->y_pixel || (has_residual && p->r_row != p->ow * p->r_pixel))
        return 0;
    p->ow *= p->oh;
    p->iw = p->ow;
    p->oh = p->ih = 1;
    return 1;
}

/* Kernels and scratch for operands of bytes, or of 16 bits. */
static void set_operands(qconv_run *c, const fc_team *team)
{
    const fc_qconv *p = &c->p;
    c->wide = p->wide ? fc_active_bytes->qwide : NULL;
    c->element = c->wide ? (int64_t)sizeof(uint16_t) : 1;
    c->tile = c->wide ? c->wide->tile : fc_active_bytes->qgemm->tile;
    c->max_mr = c->wide ? c->wide->max_mr : fc_active_bytes->qgemm->max_mr;
    c->runs = team->scratch;
    c->band = (uint8_t *)team->scratch + runs_bytes(p);
    c->panel = (int16_t *)(void *)(c->band + band_bytes(p));
}

/* Whether nothing is so large that 16 bits would not hold it. */
static int is_near(const qconv_run *c, float most_factor, int64_t largest_sum)
{
    const fc_qconv *p = &c->p;
    const int own = p->own_factor != 0.0f;
    const float sums = (float)largest_sum * most_factor, most_own = fmaxf(fabsf(p->own_lo), fabsf(p->own_hi)) * fabsf(p->own_factor);
    const float most = (own ? most_own : sums) + (c->residual ? 512.0f * fabsf(p->r_factor) : 0.0f);
    return p->to == FC_Q_BYTES && (c->residual || !own) && sums < FC_Q_NEAR && most < FC_Q_NEAR;
}

fc_status fc_run_qconv(const void *params, void *const *t, const fc_team *team)
{
    const fc_qconv *p = params;
    qconv_run c = {.p = *p, .y = t[0], .x = t[1], .w = t[2], .offset = t[3], .factor = t[4], .residual = t[5], .table = t[6],
                   .row_sums = t[7], .y_bytes = p->to == FC_Q_BYTES ? 1 : 4};
    set_operands(&c, team);
    const float most_factor = fc_most_of(c.factor, p->groups * p->oc);
    c.bounded = (!c.residual || fabsf(p->r_factor) < MOST_FACTOR) &&
                (p->own_factor != 0.0f ? fabsf(p->own_factor) < MOST_FACTOR : most_factor < FC_BOUNDED);
    c.near = t[8] && is_near(&c, most_factor, *(const int32_t *)t[8]);
    c.skips = p->kh > 1 && (p->x_zero == 0 || c.row_sums);
    c.apart = p->y_pixel >= FAR_PIXEL && p->kh * p->kw * p->ic >= LONG_TILE;
    c.turns = p->turns && c.bounded && !c.apart && p->to == FC_Q_BYTES ? fc_active_bytes->qgemm->turns : NULL;
    const int flat = make_flat(&c.p, c.residual != NULL);
    c.p.band = c.wide && !flat ? BAND : p->band;
    int64_t q0 = 0, q1 = fc_ceil_div(p->oc, p->nv * fc_active->vector_length), begin = 0, end = p->n * (flat ? c.p.ow : p->oh);
    if (p->split_columns)
        fc_share(team, q1, &q0, &q1);
    else
        fc_share(team, end, &begin, &end);
    if (q0 < q1 && flat)
        run_pixels(&c, p->block * p->ow, begin, end, q0, q1);
    else if (q0 < q1)
        run_rows(&c, begin, end, q0, q1);
    if (fc_active_bytes->qgemm->release)
        fc_active_bytes->qgemm->release();
    return FC_OK;
}
