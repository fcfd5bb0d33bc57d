/* Convolution as implicit GEMM: y[pixel][oc] = sum over (kernel row, kernel column, ic) of x * w, the whole sum in registers.
 *
 * The k of one kernel row (kw*ic values) is contiguous when pixels are dense and columns not dilated; otherwise each tap is a
 * run of ic of its own. With padding, the input rows that a block of output rows needs are first copied to a band (conv_band.h).
 * Runs of k that for a whole tile lie in padding are left out. Tiles cover each output row exactly: heights differ by at most one.
 */
#include "conv_band.h"
#include "ops/epilogue.h"
#include "team.h"

/* STREAM_AHEAD: bytes. With 1, 2, 4, 8, 12, 16, 32 and 64 KB AlexNet is 1.03, 1.05, 1.07, 1.07, 1.08, 1.08, 1.09 and 1.07 times as fast as
 * without (2026-11-21, Xeon, one thread). */
enum { CACHE_LINE = 64, STREAM_AHEAD = 16384 };
/* ASKED_FROM: input channels of a 1x1 convolution from which on a block asks for what the next one reads and writes. us before and after, one
 * thread of an EPYC Zen 4, 2026-11-29: 96x96, 192 to 48 channels 2420 -> 1800; 56x56, 64 to 256 with residual 1350 -> 970; 112x112, 32 to 48
 * 400 -> 450. resnet50 1.05, resnext50 1.06, efficientnet_v2_s 1.03, inception_v4 1.02 times as fast, mobilenet_v2 1.01. */
enum { ASKED_FROM = 64 };
/* TOGETHER: steps of k of the tiles of one call, beyond which what a call costs is nothing. */
enum { TOGETHER = 1024 };

typedef struct conv_run {
    const fc_conv *p;
    const float *x, *w, *bias, *residual, *slope;
    const float *affine;         /* what happens to x on its way to the band, or NULL */
    float *y;
    fc_tap *taps;
    fc_prefetch *prefetch, *next;      /* to ask for, or NULL: weights of later steps; what the next block reads and writes */
    int64_t kc;
    int64_t row, pixel, group;   /* from one row, pixel, group to the next of what is multiplied: the band or x */
    int merged;                  /* a run is a whole kernel row */
    int apart;                   /* as in fc_team */
    int by_row;                  /* the runs are the same for all pixels of an output row */
    fc_equal_tiles per_row;      /* tiles of an output row */
    int64_t packed_per_group;
    float lo, hi;
    fc_rounding rounding;
} conv_run;

/* Channels go to planes, row-major, oh rows of one after the other: what models hand out. */
static int writes_planes(const fc_conv *p) { return p->oc > 1 && p->groups == 1 && p->y_pixel == 1 && p->band && !p->y_gap; }

static size_t band_bytes(const fc_conv *p)
{
    return p->band ? fc_align_up((size_t)(band_rows(p, p->block) * band_width(p) * group_floats(p) * p->groups) * sizeof(float)) : 0;
}

size_t fc_scratch_conv(const void *params, int threads)
{
    (void)threads;
    const fc_conv *p = params;
    const size_t taps = fc_align_up((size_t)(p->kh * p->kw) * sizeof(fc_tap));
    return taps + band_bytes(p) + (writes_planes(p) ? fc_align_up((size_t)(p->block * p->ow * p->oc) * sizeof(float)) : 0);
}

/* How the k of one window lies in memory whose rows, pixels and groups are so far apart. */
static void set_memory(conv_run *c, int64_t row, int64_t pixel, int64_t group)
{
    c->row = row;
    c->pixel = pixel;
    c->group = group;
    c->merged = c->p->dw == 1 && pixel == group_floats(c->p);
    c->by_row = c->merged || c->p->kw == 1;
    c->kc = c->merged ? c->p->kw * c->p->ic : c->p->ic;
}

/* The runs of k that pixels [x0, x1) of `rows` output rows from oy on need; returns their number. None where all is padding: the
 * tile is then the bias. */
static int64_t list_taps(const conv_run *c, int64_t oy, int64_t rows, int64_t x0, int64_t x1)
{
    const fc_conv *p = c->p;
    int64_t count = 0;
    for (int64_t r = 0; r < p->kh; r++) {
        const int64_t iy = oy * p->sh - p->pt + r * p->dh;
        if (iy + (rows - 1) * p->sh < 0 || iy >= p->ih)
            continue;
        for (int64_t s = 0; s < (c->merged ? 1 : p->kw); s++) {
            const int64_t offset = s * p->dw - p->pl;
            if (!c->by_row && ((x1 - 1) * p->sw + offset < 0 || x0 * p->sw + offset >= p->iw))
                continue;
            c->taps[count++] = (fc_tap){r * p->dh * c->row + s * p->dw * c->pixel, (r * p->kw + s) * p->ic};
        }
    }
    return count;
}

/* The epilogue beyond bounds over `count` pixels just written. */
static void activate_pixels(const fc_conv *p, float *y, int64_t count, int64_t n, const float *slope)
{
    const int64_t part = p->y_gap ? fc_active->vector_length : n;
    for (int64_t j = 0; j < n; j += part, y += part + p->y_gap)
        fc_activate_rows(y, count, (size_t)fc_min(part, n - j), (size_t)p->y_pixel, p->fn, p->alpha, p->beta, fc_slope_from(p->fn, slope, j));
}

/* What the tiles of one panel share. */
typedef struct panel {
    fc_gemm_args args;
    const fc_gemm_kernel *tile;  /* by the number of pixels */
    int64_t nv;
    float *y;                    /* of the image, at the panel's first column; the next two likewise */
    const float *residual, *slope;
    int activates;
    const char *next;            /* what the tiles ask for: the panel after this one, next_step bytes a step of k */
    size_t next_step;
} panel;

static panel panel_of(const conv_run *c, int64_t image, int64_t g, int64_t j0, const float *b)
{
    const fc_conv *p = c->p;
    const int64_t v = fc_active->vector_length, column = g * p->oc + j0, n = fc_min(p->nv * v, p->oc - j0), nv = fc_ceil_div(n, v);
    const fc_gemm_kernels *gemm = fc_active->gemm;
    const int half = p->halves && gemm->half[nv][1] && 2 * (n - (nv - 1) * v) <= v;
    return (panel){
        .args = {.ldc = (size_t)p->y_pixel, .gap = (size_t)p->y_gap, .lda = (size_t)(p->sw * c->pixel), .tap = c->taps,
                 .kc = (size_t)c->kc, .b = b, .n = (size_t)n, .bias = c->bias ? c->bias + column : NULL, .ldr = (size_t)p->r_pixel,
                 .lo = c->lo, .hi = c->hi, .rounding = c->rounding, .a_second = (size_t)(p->sh * c->row), .c_second = (size_t)p->y_row,
                 .r_second = (size_t)p->r_row},
        .tile = half ? gemm->half[nv] : gemm->tile[nv], .nv = nv, .y = c->y + image * p->y_image + column + column / v * p->y_gap,
        .residual = c->residual ? c->residual + image * p->r_image + column : NULL, .slope = fc_slope_from(p->fn, c->slope, column),
        .activates = !fc_in_tile(p->fn, c->slope)};
}

/* Pixels from x0 on of `rows` output rows from oy on, in `count` tiles of `pixels` each; a: the first pixel of row oy. The taps are listed. */
static void run_tiles(const conv_run *c, panel *q, const float *a, int64_t oy, int64_t rows, int64_t x0, int64_t pixels, int64_t count)
{
    const fc_conv *p = c->p;
    fc_gemm_args *args = &q->args;
    args->c = q->y + oy * p->y_row + x0 * p->y_pixel;
    args->a = a + x0 * (int64_t)args->lda;
    args->residual = q->residual ? q->residual + oy * p->r_row + x0 * p->r_pixel : NULL;
    args->more = (size_t)count - 1;
    const fc_gemm_kernels *gemm = fc_active->gemm;
    (p->interleaved ? gemm->interleaved[pixels] : rows == 2 ? gemm->pair[pixels] : q->tile[pixels])(args);
    for (int64_t i = 0; q->activates && !p->y_gap && i < rows; i++)
        activate_pixels(p, args->c + i * p->y_row, pixels * count, (int64_t)args->n, q->slope);
}

/* The tiles ask for as much of what the next block needs as their k steps can. */
static void ask_next_block(const conv_run *c, panel *q, int64_t k)
{
    fc_range *r = &c->next->range[c->next->first];
    const int64_t bytes = fc_min(r->end - r->at, k * CACHE_LINE);
    q->args.prefetch = r->at;
    q->args.prefetch_step = (size_t)fc_ceil_div(bytes, k);
    r->at += bytes;
    c->next->first += r->at >= r->end;
}

/* What the tiles of pass `pass`, with k steps in all, ask for: where later steps have weights to be asked for, these have every other pass. */
static void ask_ahead(const conv_run *c, panel *q, int64_t k, int64_t pass)
{
    if (fc_prefetches(c->next)) {
        ask_next_block(c, q, k);
        return;
    }
    const char *later = pass % 2 || !q->next_step ? fc_prefetch_next(c->prefetch, k * CACHE_LINE) : NULL;
    q->args.prefetch = later ? later : q->next;
    q->args.prefetch_step = later ? CACHE_LINE : q->next_step;
    q->next += later ? 0 : k * (int64_t)q->next_step;
}

/* Pixel, counted along the output rows of an image, at which tile t begins. */
static int64_t first_pixel(const conv_run *c, int64_t t)
{
    return t / c->per_row.tiles * c->p->ow + fc_tile_begin(c->per_row, t % c->per_row.tiles);
}

/* How many tiles from `piece` of a row on go into one call: those as large that multiply the same runs of k. */
static int64_t tiles_together(const conv_run *c, int64_t piece, int64_t left, int64_t k)
{
    return c->by_row ? fc_min(fc_min(fc_tiles_alike(c->per_row, piece), left), fc_ceil_div(TOGETHER, k)) : 1;
}

/* Tiles [t0, t1) of one panel, counted over the output rows of one image. `a` belongs to row oy0. */
static void run_panel(const conv_run *c, panel *q, const float *a, int64_t oy0, int64_t t0, int64_t t1)
{
    const fc_conv *p = c->p;
    const int64_t per_row = c->per_row.tiles;
    const int64_t paired = p->pair && q->nv == FC_GEMM_PAIR_NV && per_row == 1 ? 2 : 1, k = p->kh * p->kw * p->ic;
    const int64_t passes = fc_ceil_div(t1 - t0, paired), width = q->nv * fc_active->vector_length;
    /* The panel after this one is asked for evenly over all tiles of this one: in a burst its lines would fill the fill
     * buffers that the tile's own loads need. A matrix times a vector is a stream: of it, what lies the prefetch distance away. */
    const int stream = p->n * p->oh * p->ow == 1;
    q->next = (const char *)q->args.b + (stream ? STREAM_AHEAD : k * width * (int64_t)sizeof(float));
    q->next_step = c->apart || (passes == 1 && !stream) ? 0 : (size_t)fc_ceil_div(width * (int64_t)sizeof(float), passes);
    if (fc_prefetches(c->prefetch) && q->next_step < CACHE_LINE)
        q->next_step = (size_t)fc_min(2 * (int64_t)q->next_step, CACHE_LINE);
    int64_t listed = -1, pass = 0, oy = t0 / per_row, piece = t0 % per_row, x0 = fc_tile_begin(c->per_row, piece), begun = x0;
    for (int64_t i = t0; i < t1;) {
        const int64_t rows = fc_min(paired, t1 - i), count = rows == 2 ? 1 : tiles_together(c, piece, t1 - i, k);
        const int64_t pixels = fc_tile_outputs(c->per_row, piece), x1 = x0 + count * pixels;
        if (!c->by_row || oy != listed)
            q->args.taps = (size_t)list_taps(c, oy, rows, x0, x1);
        listed = oy;
        ask_ahead(c, q, count * k, pass++);
        run_tiles(c, q, a + (oy - oy0) * p->sh * c->row, oy, rows, x0, pixels, count);
        i += rows * count;
        piece += count;
        /* Pixels of a vector's plane have no gaps between them: a whole row is activated in one go. */
        if (q->activates && p->y_gap && (piece == per_row || i >= t1))
            for (int64_t r = 0; r < rows; r++)
                activate_pixels(p, q->y + (oy + r) * p->y_row + begun * p->y_pixel, x1 - begun, (int64_t)q->args.n, q->slope);
        x0 = x1;
        if (piece == per_row) {
            oy += rows;
            piece = x0 = begun = 0;
        }
    }
}

/* Tiles [t0, t1) of one image times panels [q0, q1) of each group. */
static void run_block(const conv_run *c, const float *a, int64_t oy0, int64_t image, int64_t t0, int64_t t1, int64_t q0, int64_t q1)
{
    const fc_conv *p = c->p;
    const int64_t nr = p->nv * fc_active->vector_length, k = p->kh * p->kw * p->ic;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t i = q0; i < q1; i++) {
            panel q = panel_of(c, image, g, i * nr, c->w + g * c->packed_per_group + i * nr * k);
            run_panel(c, &q, a + g * c->group, oy0, t0, t1);
        }
}

/* What the band of the block that starts at output row oy takes from the planes of image x, if they are three, and the one before does not.
 * Such planes are what the caller gave, which is in no cache. */
static fc_prefetch new_rows(const fc_conv *p, const float *x, int64_t oy)
{
    if (!reads_planes(p) || p->ic != 3)
        return (fc_prefetch){.first = 0};
    const int64_t top = oy * p->sh - p->pt, begin = fc_max(0, top + band_rows(p, 1) - p->sh), end = fc_min(p->ih, top + band_rows(p, p->block));
    fc_prefetch rows = {.first = 0};
    for (int64_t k = 0; k < 3 && begin < end; k++) {
        const float *plane = x + k * p->ih * p->x_row;
        rows.range[k] = (fc_range){(const char *)(plane + begin * p->x_row), (const char *)(plane + end * p->x_row)};
    }
    return rows;
}

/* `rows` output rows from oy on, which lie in a tile pixel by pixel, to planes [c0, c1) of one image of y. */
static void put_planes(const fc_conv *p, float *y, const float *tile, int64_t oy, int64_t rows, int64_t c0, int64_t c1)
{
    const int joined = p->y_row == p->ow;           /* rows of a plane follow each other */
    const int64_t count = joined ? rows * p->ow : p->ow;
    for (int64_t r = 0; r < (joined ? 1 : rows); r++)
        fc_active->transpose->block(y + (c0 * p->oh + oy + r) * p->y_row, (size_t)(p->oh * p->y_row), tile + r * p->ow * p->oc + c0,
                                    (size_t)p->oc, (size_t)count, (size_t)(c1 - c0));
}

/* Rows [r0, r1) counted over all images, through the band. */
static void run_rows_banded(conv_run *c, float *band, int64_t r0, int64_t r1, int64_t q0, int64_t q1)
{
    const fc_conv *p = c->p;
    const int64_t row = band_width(p) * group_floats(p), width = p->nv * fc_active->vector_length;
    float *const planes = writes_planes(p) ? c->y : NULL, *const tile = (float *)(void *)((char *)band + band_bytes(p));
    fc_conv pixels = *p;                            /* the same, its output in a tile of rows */
    int64_t before = 0;
    if (planes) {
        pixels.y_pixel = p->oc;
        pixels.y_row = p->ow * p->oc;
        pixels.y_image = 0;
        c->p = &pixels;
    }
    set_memory(c, row, group_floats(p), band_rows(p, p->block) * row);
    while (r0 < r1) {
        const int64_t image = r0 / p->oh, oy = r0 % p->oh;
        const int64_t rows = fc_min(fc_min(p->block, p->oh - oy), r1 - r0);
        fill_band(p, band, c->x + image * p->x_image, oy, rows, oy ? before : 0, c->affine);
        fc_prefetch soon = new_rows(p, c->x + image * p->x_image, oy + rows);
        c->next = &soon;
        c->y = planes ? tile - oy * pixels.y_row : c->y;
        run_block(c, band, oy, image, oy * c->per_row.tiles, (oy + rows) * c->per_row.tiles, q0, q1);
        if (planes)
            put_planes(p, planes + image * p->y_image, tile, oy, rows, q0 * width, fc_min(q1 * width, p->oc));
        before = rows;
        r0 += rows;
    }
}

/* What tiles [t0, t1) of an image read of x and the residual and write to y, as far as tiles [t0 - count, t0) times `panels` panels can ask
 * for it, a line in each step of k. A tile walks many pixels at once, so where each has several lines the processor does not see which come next. */
static fc_prefetch next_tiles(const conv_run *c, int64_t image, int64_t t0, int64_t t1, int64_t count, int64_t panels)
{
    const fc_conv *p = c->p;
    const struct { const float *at; int64_t image, row, pixel; } tensors[] = {
        {p->sw == 1 ? c->x : NULL, p->x_image, p->x_row, p->x_pixel},
        {c->y, p->y_image, p->y_row, p->y_pixel},
        {c->residual != c->y ? c->residual : NULL, p->r_image, p->r_row, p->r_pixel}};
    const int64_t begin = first_pixel(c, t0), end = first_pixel(c, t1);
    int64_t lines = count * panels * p->ic, ranges = 0;
    fc_prefetch next = {.first = 0};
    if (p->kh * p->kw > 1 || p->ic < ASKED_FROM || t0 >= t1)
        return next;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const float *const at = tensors[i].at;
        const int64_t row = tensors[i].row, pixel = tensors[i].pixel, first = image * tensors[i].image;
        if (!at || (p->oh > 1 && row != p->ow * pixel))
            continue;
        lines -= fc_ceil_div((end - begin) * pixel * (int64_t)sizeof *at, CACHE_LINE);
        if (lines >= 0)
            next.range[ranges++] = (fc_range){(const char *)(at + first + begin * pixel), (const char *)(at + first + end * pixel)};
    }
    return next;
}

/* Tiles [t0, t1) counted over all rows of all images, reading x where it lies. */
static void run_tiles_in_place(conv_run *c, int64_t t0, int64_t t1, int64_t q0, int64_t q1)
{
    const fc_conv *p = c->p;
    const int64_t per_image = p->oh * c->per_row.tiles;
    set_memory(c, p->x_row, p->x_pixel, p->ic);
    while (t0 < t1) {
        const int64_t image = t0 / per_image, first = t0 % per_image;
        const int64_t count = fc_min(fc_min(p->block, per_image - first), t1 - t0);
        const float *x = c->x + image * p->x_image - p->pt * p->x_row - p->pl * p->x_pixel;
        const int64_t after = first + count, end = fc_min(per_image, after + fc_min(p->block, t1 - t0 - count));
        fc_prefetch next = next_tiles(c, image, after, end, count, p->groups * (q1 - q0));
        c->next = &next;
        run_block(c, x, 0, image, first, after, q0, q1);
        t0 += count;
    }
}

fc_status fc_run_conv(const void *params, void *const *t, const fc_team *team)
{
    const fc_conv *p = params;
    const int64_t v = fc_active->vector_length, panels = fc_ceil_div(p->oc, p->nv * v);
    conv_run c = {.p = p, .y = t[0], .x = t[1], .w = t[2], .bias = t[3], .residual = t[4], .slope = t[5], .affine = t[6],
                  .taps = team->scratch, .prefetch = team->prefetch, .apart = team->apart,
                  .per_row = fc_equal_tiles_of(p->ow, fc_ceil_div(p->ow, fc_gemm_rows(p->nv, p->oc, p->halves))),
                  .packed_per_group = fc_ceil_div(p->oc, v) * v * p->kh * p->kw * p->ic};
    float *band = (float *)((char *)team->scratch + fc_align_up((size_t)(p->kh * p->kw) * sizeof(fc_tap)));
    fc_clamp_bounds(fc_tile_fn(p->fn, c.slope), p->alpha, p->beta, &c.lo, &c.hi);
    c.rounding = fc_rounding_of(fc_tile_fn(p->fn, c.slope), p->alpha, p->beta, c.slope);
    int64_t q0 = 0, q1 = panels, begin, end;
    const int64_t units = p->band ? p->n * p->oh : p->n * p->oh * c.per_row.tiles;
    if (p->split_columns) {
        fc_share(team, panels, &q0, &q1);
        begin = 0;
        end = units;
    } else {
        fc_share(team, units, &begin, &end);
    }
    if (q0 >= q1 || begin >= end)
        return FC_OK;
    if (p->band)
        run_rows_banded(&c, band, begin, end, q0, q1);
    else
        run_tiles_in_place(&c, begin, end, q0, q1);
    return FC_OK;
}
