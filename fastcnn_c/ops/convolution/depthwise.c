/* Depthwise convolution: every channel has a filter of its own, so there is nothing to gain from a GEMM and the work is in the
 * loads.
 *
 * A few channel vectors at a time walk down the image. The input rows they need are copied into a ring of bands: one channel
 * vector a band, pixels next to each other, the horizontal padding written as zeros, rows outside the image replaced by one
 * band of zeros. Kernels therefore never meet a border, an unaligned pixel or a pitch that aliases in the cache, and every row
 * is read from the tensor once. The copy costs a load and a store an input vector, where reading in place costs as much in
 * cache misses.
 *
 * Groups narrower than a vector are computed likewise: the copy lays out, for input channel q of each group, a band whose lanes hold the
 * channel that the output of that lane sees. An input row is then ic bands, and a window ic times as many rows.
 */
#include <string.h>

#include "team.h"
#include "depthwise.h"
#include "ops/epilogue.h"

enum {
    RING_BYTES = 128 * 1024, /* of L2: the ring of one pass. 24 KB of L1 cost 1.5x on 112x112 maps, where a pixel's neighbouring
                              * lines are fetched in vain; on maps up to 28x28 the ring lies in L1 anyway */
    GROUP_CHANNELS = 64,     /* channels copied together at most: 4 cache lines a pixel keep the prefetchers going */
};

typedef struct layout {
    int64_t v;           /* vector length */
    int64_t group;       /* channel vectors of a pass */
    int64_t block, span; /* columns of a pass: outputs, and the inputs they see, padding included */
    int64_t ring;        /* input rows kept */
    fc_depthwise_tile tile;
    size_t zero, weights, bands, rows, keys, bytes; /* where things lie in the scratch, in bytes */
} layout;

/* One pass: these channels of one image. */
typedef struct pass {
    const fc_depthwise *p;
    const layout *l;
    char *scratch;
    const float *x, *bias, *residual, *slope;
    const int32_t *lanes;        /* of the first vector of the pass, or NULL */
    float *y;
    int64_t channels;
    int64_t column;              /* first output column of the block */
    int64_t outputs;             /* output columns of the block */
    int64_t left, inside, first; /* of the columns they see: padding at the left, those of the image, the first of these */
} pass;

fc_depthwise_tile fc_depthwise_tile_of(int64_t kw, int64_t sw, int64_t dw, int64_t tile_rows)
{
    const fc_depthwise_kernels *kernels = fc_active->depthwise;
    fc_depthwise_tile t = {.tile_rows = tile_rows, .kernel = kernels->window, .last_row = kernels->window};
    if (dw != 1 || sw > 2 || (kw != 3 && kw != 5 && kw != 7))
        return t;
    const int64_t width = (kw - 3) / 2;
    t.last_row = kernels->row[width][sw - 1];
    t.kernel = tile_rows == 2 ? kernels->pair[width] : t.last_row;
    return t;
}

static size_t take(size_t *bytes, int64_t count, size_t size)
{
    const size_t at = *bytes;
    *bytes += fc_align_up((size_t)count * size);
    return at;
}

static layout layout_of(const fc_depthwise *p)
{
    layout l = {.v = fc_active->vector_length, .tile = fc_depthwise_tile_of(p->kw, p->sw, p->dw, p->tile_rows)};
    l.ring = (l.tile.tile_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    const int64_t reach = (p->kw - 1) * p->dw + 1;                           /* columns of one window */
    const int64_t fits = RING_BYTES / (int64_t)sizeof(float) / l.v / (l.ring * p->ic); /* columns of one vector's ring */
    const int64_t widest = fc_max((fits - reach) / p->sw + 1, fc_min(p->ow, 8));
    l.block = fc_ceil_div(p->ow, fc_ceil_div(p->ow, widest));
    l.span = (l.block - 1) * p->sw + reach;
    const int64_t vectors = fc_ceil_div(p->c, l.v);
    l.group = fc_ceil_div(vectors, fc_ceil_div(vectors, fc_max(1, fc_min(fits / l.span, GROUP_CHANNELS / l.v))));
    l.zero = take(&l.bytes, l.group * l.span * l.v, sizeof(float));
    l.weights = take(&l.bytes, l.group * p->kh * p->ic * p->kw * l.v, sizeof(float));
    l.bands = take(&l.bytes, l.ring * p->ic * l.group * l.span * l.v, sizeof(float));
    l.rows = take(&l.bytes, l.ring * p->ic, sizeof(float *));
    l.keys = take(&l.bytes, l.ring, sizeof(int64_t));
    return l;
}

size_t fc_scratch_depthwise(const void *params, int threads)
{
    (void)threads;
    const fc_depthwise *p = params;
    return p->direct ? 0 : layout_of(p).bytes;
}

/* The bands of input channel q of the row in a slot. */
static float *band_of(const pass *s, int64_t slot, int64_t q)
{
    return (float *)(void *)(s->scratch + s->l->bands) + (slot * s->p->ic + q) * s->l->group * s->l->span * s->l->v;
}

/* Where a block's columns lie, and its horizontal padding as zeros in every band. With a single block, the padding of the pass
 * before is still there. */
static void start_block(pass *s, int padding_is_there)
{
    const fc_depthwise *p = s->p;
    const layout *l = s->l;
    const int64_t from = s->column * p->sw - p->pl, span = (s->outputs - 1) * p->sw + (p->kw - 1) * p->dw + 1;
    int64_t *keys = (int64_t *)(void *)(s->scratch + l->keys);
    s->left = fc_min(fc_max(-from, 0), span);
    s->first = from + s->left;
    s->inside = fc_max(fc_min(from + span, p->iw) - s->first, 0);
    for (int64_t i = 0; i < l->ring; i++)
        keys[i] = -1;
    if (padding_is_there)
        return;
    for (int64_t i = 0; i < l->ring * p->ic * l->group; i++) {
        float *band = band_of(s, 0, 0) + i * l->span * l->v;
        memset(band, 0, (size_t)(s->left * l->v) * sizeof(float));
        memset(band + (s->left + s->inside) * l->v, 0, (size_t)((span - s->left - s->inside) * l->v) * sizeof(float));
    }
}

/* `inside` pixels of x to the bands of input channel q, each lane the channel that its output sees. */
static void pick_bands(const pass *s, float *band, const float *x, int64_t q)
{
    const layout *l = s->l;
    const int64_t row = l->v + 2, vectors = fc_ceil_div(s->p->c, l->v);
    for (int64_t i = 0; i < fc_ceil_div(s->channels, l->v); i++)
        fc_active->transpose->pick(band + i * l->span * l->v, (size_t)l->v, x, (size_t)s->p->x_pixel, (size_t)s->p->x_c,
                                   s->lanes + (q * vectors + i) * row, (size_t)s->inside, (size_t)l->v);
}

/* Copy input row iy into its slot of the ring, unless it is there. */
static void load_row(const pass *s, int64_t iy)
{
    const fc_depthwise *p = s->p;
    const layout *l = s->l;
    int64_t *keys = (int64_t *)(void *)(s->scratch + l->keys);
    const int64_t slot = iy % l->ring;
    if (keys[slot] == iy)
        return;
    keys[slot] = iy;
    if (!s->inside)
        return;
    const float *x = s->x + iy * p->x_row + s->first * p->x_pixel;
    for (int64_t q = 0; q < p->ic; q++) {
        float *band = band_of(s, slot, q) + s->left * l->v;
        if (s->lanes)
            pick_bands(s, band, x, q);
        else
            fc_active->depthwise->band(band, (size_t)(l->span * l->v), x, (size_t)p->x_pixel, (size_t)s->inside, (size_t)s->channels);
    }
}

/* Output rows [oy, oy + rows) of the block, for each channel vector. */
static void compute_rows(const pass *s, int64_t oy, int64_t rows)
{
    const fc_depthwise *p = s->p;
    const layout *l = s->l;
    const float **pointers = (const float **)(void *)(s->scratch + l->rows);
    const int64_t needed = p->kh + rows - 1;
    const int64_t at = oy * p->y_row + s->column * p->y_pixel;
    fc_depthwise_args a = {.rows = pointers,
                           .kh = (size_t)(p->kh * p->ic),
                           .kw = (size_t)p->kw,
                           .sw = (size_t)p->sw,
                           .dw = (size_t)p->dw,
                           .count = (size_t)s->outputs,
                           .ldr = (size_t)p->r_row,
                           .r_pixel = (size_t)p->r_pixel,
                           .n = (size_t)s->channels,
                           .w = (const float *)(void *)(s->scratch + l->weights),
                           .bias = s->bias,
                           .slope = fc_is_prelu(p->fn, s->slope) ? s->slope : NULL,
                           .plane = (size_t)(l->span * l->v),
                           .y = s->y + at,
                           .ldy = (size_t)p->y_row,
                           .y_pixel = (size_t)p->y_pixel};
    a.residual = s->residual ? s->residual + oy * p->r_row + s->column * p->r_pixel : NULL;
    fc_clamp_bounds(fc_tile_fn(p->fn, s->slope), p->alpha, p->beta, &a.lo, &a.hi);
    a.rounding = fc_rounding_of(fc_tile_fn(p->fn, s->slope), p->alpha, p->beta, s->slope);
    for (int64_t r = 0; r < needed; r++) {
        const int64_t iy = oy * p->sh - p->pt + r * p->dh;
        const int inside = iy >= 0 && iy < p->ih;
        if (inside)
            load_row(s, iy);
        for (int64_t q = 0; q < p->ic; q++)
            pointers[r * p->ic + q] = inside ? band_of(s, iy % l->ring, q) : (const float *)(void *)(s->scratch + l->zero);
    }
    (rows == l->tile.tile_rows ? l->tile.kernel : l->tile.last_row)(&a);
    for (int64_t i = 0; !a.slope && !fc_in_tile(p->fn, s->slope) && i < rows; i++)
        fc_activate_rows(s->y + at + i * p->y_row, s->outputs, (size_t)s->channels, (size_t)p->y_pixel, p->fn, p->alpha, p->beta, s->slope);
}

/* Output rows [begin, end) of one image and one group of channels. */
static void run_pass(pass *s, int64_t begin, int64_t end, int first_pass)
{
    const fc_depthwise *p = s->p;
    const layout *l = s->l;
    for (s->column = 0; s->column < p->ow; s->column += l->block) {
        s->outputs = fc_min(l->block, p->ow - s->column);
        start_block(s, l->block == p->ow && !first_pass);
        for (int64_t oy = begin; oy < end; oy += l->tile.tile_rows)
            compute_rows(s, oy, fc_min(l->tile.tile_rows, end - oy));
    }
}

/* Channel vectors [v0, v1) of rows [oy0, oy1) of image `image`, a group at a time. */
static void run_image(const fc_depthwise *p, const layout *l, void *const *t, char *scratch, int64_t image,
                      const int64_t *vectors, const int64_t *rows)
{
    const float *x = t[1], *w = t[2], *bias = t[3], *residual = t[4], *slope = t[5];
    const int32_t *lanes = p->x_c ? t[6] : NULL;
    const int64_t taps = p->kh * p->ic * p->kw;
    for (int64_t v = vectors[0]; v < vectors[1]; v += l->group) {
        const int64_t c = v * l->v;
        pass s = {
            .p = p, .l = l, .scratch = scratch, .x = x + image * p->x_image + (lanes ? 0 : c), .y = (float *)t[0] + image * p->y_image + c};
        s.lanes = lanes ? lanes + v * (l->v + 2) : NULL;
        s.channels = fc_min(p->c - c, fc_min(l->group, vectors[1] - v) * l->v);
        s.bias = bias ? bias + c : NULL;
        s.slope = fc_slope_from(p->fn, slope, c);
        s.residual = residual ? residual + image * p->r_image + c : NULL;
        fc_active->depthwise->band((float *)(void *)(scratch + l->weights), (size_t)(taps * l->v), w + c, (size_t)p->c,
                                   (size_t)taps, (size_t)s.channels);
        run_pass(&s, rows[0], rows[1], v == vectors[0]);
    }
}

/* Threads share rows, which the producer's threads have in their caches, or channels where rows are few. */
fc_status fc_run_depthwise(const void *params, void *const *t, const fc_team *team)
{
    const fc_depthwise *p = params;
    if (p->direct) {
        fc_run_depthwise_direct(p, t, team);
        return FC_OK;
    }
    const layout l = layout_of(p);
    char *scratch = team->scratch;
    const int64_t vectors = fc_ceil_div(p->c, l.v), tiles = fc_ceil_div(p->oh, l.tile.tile_rows);
    const int by_rows = p->n * tiles >= 4 * team->count;
    const int64_t pieces = by_rows ? tiles : vectors;
    memset(scratch + l.zero, 0, l.weights - l.zero);
    int64_t begin, end;
    fc_share(team, p->n * pieces, &begin, &end);
    while (begin < end) {
        const int64_t image = begin / pieces, from = begin % pieces, to = fc_min(pieces, from + end - begin);
        const int64_t all_vectors[2] = {0, vectors}, all_rows[2] = {0, p->oh}, part[2] = {from, to};
        const int64_t rows[2] = {from * l.tile.tile_rows, fc_min(p->oh, to * l.tile.tile_rows)};
        run_image(p, &l, t, scratch, image, by_rows ? all_vectors : part, by_rows ? rows : all_rows);
        begin += to - from;
    }
    return FC_OK;
}
