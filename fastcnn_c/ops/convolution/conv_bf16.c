/* Convolution in bfloat16 as implicit GEMM: as conv.c through a band, into which x is rounded; sums and what follows them are float32.
 *
 * x that is bfloat16 already is read in place by 1x1 windows that meet no padding. A 1x1 convolution of stride 1 over one long row of pixels has
 * blocks of pixels instead of rows.
 */
#include <string.h>

#include "ops/epilogue.h"
#include "team.h"

enum { CACHE_LINE = 64 };
enum { PAIR = 2 };      /* values of k that a lane multiplies at a time */
enum { STAGE = 2048 };  /* floats that x becomes on its way to the band, a few pixels at a time, where more happens to it than rounding */
enum { SCALE = 1, AFFINE = 2 };         /* values of `scaled` */

typedef struct pconv_run {
    const fc_conv_bf16 *p;
    const fc_pairs *kernels;
    char *y;
    const char *x, *residual;
    const float *bias, *slope, *scale, *affine;
    const uint16_t *w;
    uint16_t *band;
    float *stage;
    int64_t *runs;                  /* bytes from a pixel's first value to each run of k */
    int64_t count, words, odd;      /* runs, whole words of each, values left */
    int64_t row, pixel, group;      /* values from one row, pixel, group to the next of what is multiplied: the band or x */
    int64_t x_bytes, y_bytes, r_bytes;  /* of an element */
    int64_t q0, q1;
    float lo, hi;
    uint32_t shape;
    fc_prefetch *later;             /* weights of later steps to ask for, or NULL */
    const char *next;               /* what tiles ask for: the panel after theirs, next_step bytes a word of k */
    size_t next_step;
} pconv_run;

static int is_flat(const fc_conv_bf16 *p) { return p->oh == 1 && p->kh == 1 && p->kw == 1 && p->sw == 1 && p->pt == 0 && p->pl == 0; }
static int64_t band_width(const fc_conv_bf16 *p) { return is_flat(p) ? p->block : (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1; }
static int64_t band_rows(const fc_conv_bf16 *p, int64_t out_rows) { return (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }
static size_t runs_bytes(const fc_conv_bf16 *p) { return fc_align_up((size_t)(p->kh * p->kw) * sizeof(int64_t)); }

/* As in conv_band.h. */
static int reads_planes(const fc_conv_bf16 *p) { return p->ic > 1 && p->groups == 1 && p->x_pixel == 1; }
static int is_staged(const fc_conv_bf16 *p) { return reads_planes(p) || p->scaled == AFFINE || (p->x_half && p->scaled); }
static int64_t staged_pixels(const fc_conv_bf16 *p) { return fc_max(1, STAGE / p->ic); }
static size_t stage_bytes(const fc_conv_bf16 *p) { return is_staged(p) ? fc_align_up((size_t)(staged_pixels(p) * p->ic) * sizeof(float)) : 0; }

/* Whether x is multiplied where it lies. */
static int in_place(const fc_conv_bf16 *p)
{
    return p->x_half && !p->scaled && p->kh == 1 && p->kw == 1 && p->pt >= 0 && p->pl >= 0 && p->pt + p->pl == 0 && (p->oh - 1) * p->sh < p->ih &&
           (p->ow - 1) * p->sw < p->iw;
}

size_t fc_scratch_conv_bf16(const void *params, int threads)
{
    (void)threads;
    const fc_conv_bf16 *p = params;
    const int64_t rows = is_flat(p) ? 1 : band_rows(p, p->block);
    return runs_bytes(p) + stage_bytes(p) + (in_place(p) ? 0 : fc_align_up((size_t)(rows * band_width(p) * p->ic * p->groups) * sizeof(uint16_t)));
}

static void list_runs(pconv_run *c)
{
    const fc_conv_bf16 *p = c->p;
    const int whole_rows = p->dw == 1;
    c->words = (whole_rows ? p->kw : 1) * p->ic / PAIR;
    c->odd = (whole_rows ? p->kw : 1) * p->ic % PAIR;
    for (int64_t r = 0; r < p->kh; r++)
        for (int64_t s = 0; s < (whole_rows ? 1 : p->kw); s++)
            c->runs[c->count++] = (r * p->dh * c->row + s * p->dw * c->pixel) * (int64_t)sizeof(uint16_t);
}

/* `count` pixels of group g, x the first of them, as floats in the stage: interleaved from planes, scaled and shifted, or as they are. */
static void stage_pixels(const pconv_run *c, const char *x, int64_t count, int64_t g)
{
    const fc_conv_bf16 *p = c->p;
    const size_t channels = (size_t)p->ic, pixel = (size_t)p->x_pixel, plane = (size_t)(p->ih * p->x_row);
    const float *from = (const float *)(const void *)x;
    if (p->x_half) {
        c->kernels->widen(c->stage, channels, (const uint16_t *)(const void *)x, pixel, (size_t)count, channels);
        from = c->stage;
    }
    if (p->scaled == AFFINE) {
        const float *scale = c->affine + g * p->ic, *limits = c->affine + 2 * p->groups * p->ic;
        const fc_affine_args args = {.y = c->stage, .y_pixel = channels, .x = from, .x_pixel = p->x_half ? channels : pixel, .count = (size_t)count,
                                     .n = channels, .scale = scale, .shift = scale + p->groups * p->ic, .lo = limits[0], .hi = limits[1]};
        fc_active->norm->affine(&args);
    } else if (reads_planes(p) && p->ic == 3) {
        fc_active->transpose->interleave3(c->stage, from, plane, (size_t)count);
    } else if (reads_planes(p)) {
        fc_active->transpose->block(c->stage, channels, from, plane, channels, (size_t)count);
    }
}

/* n values of each of `count` pixels. The numbers of values that narrow groups have are constants: a call of memcpy for each of their pixels takes
 * as long as their products. */
static void copy_pixels(uint16_t *to, const uint16_t *from, int64_t count, int64_t pixel, int64_t n)
{
    for (int64_t i = 0; n == 8 && i < count; i++)
        memcpy(to + i * 8, from + i * pixel, 8 * sizeof *to);
    for (int64_t i = 0; n == 16 && i < count; i++)
        memcpy(to + i * 16, from + i * pixel, 16 * sizeof *to);
    for (int64_t i = 0; n == 32 && i < count; i++)
        memcpy(to + i * 32, from + i * pixel, 32 * sizeof *to);
    for (int64_t i = 0; n != 8 && n != 16 && n != 32 && i < count; i++)
        memcpy(to + i * n, from + i * pixel, (size_t)n * sizeof *to);
}

/* `count` pixels of group g from x to the band. */
static void fill_pixels(const pconv_run *c, uint16_t *to, const char *x, int64_t count, int64_t g)
{
    const fc_conv_bf16 *p = c->p;
    const char *from = x + g * p->ic * c->x_bytes;
    const float *scale = c->scale ? c->scale + g * p->ic : NULL;
    if (is_staged(p)) {
        for (int64_t i = 0, some; i < count; i += some, from += some * p->x_pixel * c->x_bytes) {
            some = fc_min(staged_pixels(p), count - i);
            stage_pixels(c, from, some, g);
            const size_t rows = scale ? (size_t)some : 1, n = (size_t)(scale ? p->ic : some * p->ic);
            c->kernels->narrow(to + i * p->ic, (size_t)p->ic, c->stage, (size_t)p->ic, rows, n, scale);
        }
        return;
    }
    const int together = p->x_pixel == p->ic && !scale;
    if (p->x_half) {
        copy_pixels(to, (const uint16_t *)(const void *)from, together ? 1 : count, p->x_pixel, together ? count * p->ic : p->ic);
        return;
    }
    const size_t rows = together ? 1 : (size_t)count, n = (size_t)(together ? count * p->ic : p->ic);
    c->kernels->narrow(to, (size_t)p->ic, (const float *)(const void *)from, (size_t)p->x_pixel, rows, n, scale);
}

/* Input rows that output rows [oy, oy + rows) of an image see: one group after the other, zeros around. */
static void fill_band(const pconv_run *c, const char *x, int64_t oy, int64_t rows)
{
    const fc_conv_bf16 *p = c->p;
    const int64_t width = band_width(p), left = fc_min(fc_max(p->pl, 0), width), first = fc_max(-p->pl, 0);
    const int64_t inside = fc_max(fc_min(p->iw - first, width - left), 0), right = width - left - inside;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t r = 0; r < band_rows(p, rows); r++) {
            const int64_t iy = oy * p->sh - p->pt + r;
            uint16_t *to = c->band + g * c->group + r * c->row;
            if (iy < 0 || iy >= p->ih || !inside) {
                memset(to, 0, (size_t)c->row * sizeof *to);
                continue;
            }
            memset(to, 0, (size_t)(left * p->ic) * sizeof *to);
            fill_pixels(c, to + left * p->ic, x + (iy * p->x_row + first * p->x_pixel) * c->x_bytes, inside, g);
            memset(to + (left + inside) * p->ic, 0, (size_t)(right * p->ic) * sizeof *to);
        }
}

/* The epilogue beyond bounds over `count` pixels just written, floats. */
static void activate(const fc_conv_bf16 *p, float *y, int64_t count, int64_t n, const float *slope)
{
    const int64_t part = p->y_gap ? fc_active->vector_length : n;
    for (int64_t j = 0; j < n; j += part, y += part + p->y_gap)
        fc_activate_rows(y, count, (size_t)fc_min(part, n - j), (size_t)p->y_pixel, p->fn, p->alpha, p->beta, slope ? slope + j : NULL);
}

/* Asks for n values of each of `count` pixels, which the next tile adds: strips so narrow are not foreseen by the processor. */
static void ask_residual(const pconv_run *c, const char *at, int64_t count, int64_t n)
{
    for (int64_t i = 0; i < count; i++, at += c->p->r_pixel * c->r_bytes)
        for (int64_t k = 0; k < n * c->r_bytes; k += CACHE_LINE)
            __builtin_prefetch(at + k);
}

/* The tiles of a panel, of so many pixels, ask for the next panel, of so many channels, as evenly as they can: in a burst its lines would fill
 * the fill buffers that their own loads need. A single pixel takes its weights as fast as they come. */
static void begin_panel(pconv_run *c, const fc_pgemm_args *panel, int64_t channels, int64_t pixels)
{
    const int64_t v = fc_active->vector_length, nv = fc_ceil_div((int64_t)panel->n, v), tiles = fc_ceil_div(pixels, c->kernels->max_mr[nv]);
    const int64_t word = fc_ceil_div(channels, v) * v * PAIR * (int64_t)sizeof(uint16_t);
    c->next = (const char *)(panel->b + nv * v * c->count * (c->words + c->odd) * PAIR);
    c->next_step = pixels == 1 ? 0 : (size_t)fc_ceil_div(word, tiles);
}

/* What a tile asks for: weights of later steps where no panel follows in this one. */
static void ask_ahead(pconv_run *c, fc_pgemm_args *args)
{
    const int64_t words = (int64_t)(args->runs * args->words);
    const char *later = c->next_step ? NULL : fc_prefetch_next(c->later, words * CACHE_LINE);
    args->prefetch = later || !c->next_step ? later : c->next;
    args->prefetch_step = later ? CACHE_LINE : c->next_step;
    c->next += later ? 0 : words * (int64_t)c->next_step;
}

/* Pixels [first, last) of output row oy times a panel; a: of pixel `first`. */
static void run_row(pconv_run *c, fc_pgemm_args *args, const uint16_t *a, int64_t image, int64_t oy, int64_t first, int64_t last, int64_t column)
{
    const fc_conv_bf16 *p = c->p;
    const int64_t v = fc_active->vector_length, nv = fc_ceil_div((int64_t)args->n, v), count = last - first;
    const int64_t tall = fc_ceil_div(count, c->kernels->max_mr[nv]), tail = (int64_t)args->n - (nv - 1) * v;
    const fc_pgemm_kernel *tile = 2 * tail <= v && c->kernels->half[nv][1] ? c->kernels->half[nv] : c->kernels->tile[nv];
    char *y = c->y + (image * p->y_image + oy * p->y_row + first * p->y_pixel + column + column / v * p->y_gap) * c->y_bytes;
    const char *residual = c->residual ? c->residual + (image * p->r_image + oy * p->r_row + first * p->r_pixel + column) * c->r_bytes : NULL;
    for (int64_t t = 0; t < tall; t++) {
        const int64_t x0 = count * t / tall, x1 = count * (t + 1) / tall;
        args->a = (const uint8_t *)(a + x0 * p->sw * c->pixel);
        args->c = y + x0 * p->y_pixel * c->y_bytes;
        args->residual = residual ? residual + x0 * p->r_pixel * c->r_bytes : NULL;
        if (residual && t + 1 < tall)
            ask_residual(c, residual + x1 * p->r_pixel * c->r_bytes, count * (t + 2) / tall - x1, (int64_t)args->n);
        ask_ahead(c, args);
        tile[x1 - x0](args);
    }
    if (c->slope || !fc_is_clamp(p->fn))
        activate(p, (float *)(void *)y, count, (int64_t)args->n, c->slope ? c->slope + column : NULL);
}

/* A panel for output row oy: without the outer kernel rows that see nothing but padding, whose products are zero. */
static fc_pgemm_args args_for_row(const pconv_run *c, const fc_pgemm_args *whole, int64_t oy)
{
    const fc_conv_bf16 *p = c->p;
    const int64_t v = fc_active->vector_length, top = oy * p->sh - p->pt, runs = c->count / p->kh;
    const int64_t first = top < 0 ? fc_ceil_div(-top, p->dh) : 0, end = fc_min(p->kh, fc_ceil_div(fc_max(p->ih - top, 0), p->dh));
    fc_pgemm_args args = *whole;
    if (first >= end)
        return args;
    args.run += first * runs;
    args.runs = (size_t)((end - first) * runs);
    args.b += first * runs * (c->words + c->odd) * PAIR * fc_ceil_div((int64_t)args.n, v) * v;
    return args;
}

/* Output rows [oy, oy + rows), pixels [first, last) of each, times the panels of this thread; a begins with these. */
static void run_block(pconv_run *c, const uint16_t *a, int64_t image, int64_t oy, int64_t rows, int64_t first, int64_t last)
{
    const fc_conv_bf16 *p = c->p;
    const int64_t v = fc_active->vector_length, nr = p->nv * v, k = c->count * (c->words + c->odd) * PAIR, packed = fc_ceil_div(p->oc, v) * v * k;
    fc_pgemm_args args = {.ldc = (size_t)p->y_pixel, .gap = (size_t)p->y_gap, .lda = (size_t)(p->sw * c->pixel) * sizeof(uint16_t), .run = c->runs,
                          .runs = (size_t)c->count, .words = (size_t)c->words, .odd = (size_t)c->odd, .ldr = (size_t)p->r_pixel,
                          .c_half = (int)p->y_half, .r_half = (int)p->r_half, .lo = c->lo, .hi = c->hi, .shape = &c->shape};
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t i = c->q0; i < c->q1; i++) {
            const int64_t column = g * p->oc + i * nr;
            args.n = (size_t)fc_min(nr, p->oc - i * nr);
            args.b = c->w + g * packed + i * nr * k;
            args.bias = c->bias ? c->bias + column : NULL;
            begin_panel(c, &args, i + 1 < c->q1 ? fc_min(nr, p->oc - (i + 1) * nr) : g + 1 < p->groups ? nr : 0, rows * (last - first));
            for (int64_t r = 0; r < rows; r++) {
                fc_pgemm_args row = args_for_row(c, &args, oy + r);
                run_row(c, &row, a + g * c->group + r * p->sh * c->row, image, oy + r, first, last, column);
            }
        }
}

static void run_rows(pconv_run *c, int64_t begin, int64_t end)
{
    const fc_conv_bf16 *p = c->p;
    while (begin < end) {
        const int64_t image = begin / p->oh, oy = begin % p->oh, rows = fc_min(fc_min(p->block, p->oh - oy), end - begin);
        const char *x = c->x + image * p->x_image * c->x_bytes;
        if (!in_place(p))
            fill_band(c, x, oy, rows);
        run_block(c, in_place(p) ? (const uint16_t *)(const void *)x + oy * p->sh * c->row : c->band, image, oy, rows, 0, p->ow);
        begin += rows;
    }
}

static void run_pixels(pconv_run *c, int64_t begin, int64_t end)
{
    const fc_conv_bf16 *p = c->p;
    while (begin < end) {
        const int64_t image = begin / p->ow, first = begin % p->ow, count = fc_min(fc_min(p->block, p->ow - first), end - begin);
        const char *x = c->x + (image * p->x_image + first * p->x_pixel) * c->x_bytes;
        for (int64_t g = 0; g < (in_place(p) ? 0 : p->groups); g++)
            fill_pixels(c, c->band + g * c->group, x, count, g);
        run_block(c, in_place(p) ? (const uint16_t *)(const void *)x : c->band, image, 0, 1, first, first + count);
        begin += count;
    }
}

/* How k lies in the band, or in x. */
static void set_memory(pconv_run *c)
{
    const fc_conv_bf16 *p = c->p;
    c->pixel = in_place(p) ? p->x_pixel : p->ic;
    c->row = in_place(p) ? p->x_row : band_width(p) * p->ic;
    c->group = in_place(p) ? p->ic : (is_flat(p) ? 1 : band_rows(p, p->block)) * c->row;
    list_runs(c);
}

fc_status fc_run_conv_bf16(const void *params, void *const *t, const fc_team *team)
{
    const fc_conv_bf16 *p = params;
    pconv_run c = {.p = p, .kernels = fc_active_pairs(), .y = t[0], .x = t[1], .w = t[2], .bias = t[3], .residual = t[4], .slope = t[5],
                   .scale = p->scaled == SCALE ? t[6] : NULL, .affine = p->scaled == AFFINE ? t[6] : NULL, .runs = team->scratch,
                   .stage = (float *)(void *)((char *)team->scratch + runs_bytes(p)),
                   .band = (uint16_t *)(void *)((char *)team->scratch + runs_bytes(p) + stage_bytes(p)),
                   .later = team->prefetch, .x_bytes = p->x_half ? 2 : 4, .y_bytes = p->y_half ? 2 : 4, .r_bytes = p->r_half ? 2 : 4};
    int64_t begin = 0, end = p->n * (is_flat(p) ? p->ow : p->oh);
    c.q1 = fc_ceil_div(p->oc, p->nv * fc_active->vector_length);
    set_memory(&c);
    fc_clamp_bounds(c.slope ? FC_FN_None : p->fn, p->alpha, p->beta, &c.lo, &c.hi);
    if (p->split_columns)
        fc_share(team, c.q1, &c.q0, &c.q1);
    else
        fc_share(team, end, &begin, &end);
    if (c.q0 >= c.q1 || begin >= end)
        return FC_OK;
    if (is_flat(p))
        run_pixels(&c, begin, end);
    else
        run_rows(&c, begin, end);
    if (c.kernels->release)
        c.kernels->release();
    return FC_OK;
}
