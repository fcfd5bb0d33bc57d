/* Convolutions one after the other on row-major planes, a few rows at a time: no map between them is ever whole, and no layout changes.
 *
 *     x --fill--> band 0 --layer 0--> band 1 --layer 1--> ... --last layer--> y
 *
 * The band of a layer holds the input rows that its next output rows see, of all channels, with their padding around them (planes_band.h). A layer
 * asks the one before it for the rows that its band lacks; rows that it sees again move to the front.
 */
#include "ops/epilogue.h"
#include "planes_band.h"
#include "team.h"

typedef struct layer {
    planes_window window;
    planes_row row;
    int64_t depthwise, ic, oc, kh, sh, dh, pt, oh;
    int64_t flat;                   /* its rows follow each other without gaps, in its band and where they go: to the kernel they are one */
    int64_t made, rows, plane;      /* output rows at a time at most; the input rows they see; floats of a channel of the band */
    int64_t first, have;            /* input rows [first, have) are in the band */
    size_t band, staged, taps;      /* where they begin in scratch, in bytes: staged, output rows that the next band takes parted */
    const float *w;                 /* lo, hi, a bias for each of oc, the weights */
} layer;

typedef struct chain {
    const fc_planes_chain *p;
    layer l[FC_MAX_DIMS];
    size_t bytes;
    char *scratch;
    const float *x;                 /* of one image */
    float *y;
} chain;

/* Rows of all channels: channel c of the first one begins at `at` + c * plane. */
typedef struct plane_rows {
    float *at;
    int64_t plane, ld;
} plane_rows;

enum { BEFORE_ALL = -(1 << 30) };   /* no input row is in the band */

static size_t take(size_t *bytes, int64_t count, size_t each)
{
    const size_t at = *bytes;
    *bytes += fc_align_up((size_t)count * each);
    return at;
}

/* Whether a layer needs no zeros around its rows. What fills the first band writes whole vectors. */
static int is_flat(const fc_planes_chain *p, int64_t i)
{
    return i > 0 && !p->depthwise[i] && p->kh[i] == 1 && p->kw[i] == 1 && p->sh[i] == 1 && p->sw[i] == 1 && p->pt[i] == 0 && p->pl[i] == 0 &&
           p->oh[i] == p->oh[i - 1] && p->ow[i] == p->ow[i - 1];
}

static chain chain_of(const fc_planes_chain *p)
{
    chain c = {.p = p};
    for (int64_t i = p->layers - 1; i >= 0; i--) {
        layer *l = &c.l[i];
        *l = (layer){.depthwise = p->depthwise[i], .ic = p->ic[i], .oc = p->oc[i], .kh = p->kh[i], .sh = p->sh[i], .dh = p->dh[i],
                     .pt = p->pt[i], .oh = p->oh[i]};
        l->window = (planes_window){.kw = p->kw[i], .sw = p->sw[i], .dw = p->dw[i], .pl = p->pl[i], .ih = i ? p->oh[i - 1] : p->ih,
                                    .iw = i ? p->ow[i - 1] : p->iw, .ow = p->ow[i]};
        l->flat = is_flat(p, i) && (i + 1 == p->layers || l[1].flat);
        l->row = l->flat ? (planes_row){.floats = l->window.iw} : planes_row_of(l->window);
        l->made = i + 1 < p->layers ? fc_min(c.l[i + 1].rows, p->block) : p->block;
        l->rows = (l->made - 1) * l->sh + (l->kh - 1) * l->dh + 1;
        l->plane = planes_apart(&l->row, l->rows);
        l->band = take(&c.bytes, l->ic * l->plane, sizeof(float));
        if (i + 1 < p->layers && p->sw[i + 1] == 2)
            l->staged = take(&c.bytes, l->oc * l->made * planes_whole_vectors(p->ow[i]), sizeof(float));
        if (!l->depthwise)
            l->taps = take(&c.bytes, l->ic * l->kh * p->kw[i], sizeof(int64_t));
    }
    return c;
}

size_t fc_scratch_planes_chain(const void *params, int threads)
{
    (void)threads;
    return chain_of(params).bytes;
}

static float *band_of(const chain *c, const layer *l) { return (float *)(void *)(c->scratch + l->band); }

/* Where each tap of an output lies in the band, from its first row and column on. */
static void list_taps(const chain *c, const layer *l)
{
    int64_t *taps = (int64_t *)(void *)(c->scratch + l->taps);
    for (int64_t i = 0; i < l->ic; i++)
        for (int64_t r = 0; r < l->kh; r++)
            for (int64_t s = 0; s < l->window.kw; s++)
                *taps++ = i * l->plane + r * l->dh * l->row.floats + planes_column(l->window, &l->row, s * l->window.dw);
}

/* Where output row `from` of layer i goes: to y, to the next band, or to where it is parted from. */
static plane_rows target_of(const chain *c, int64_t i, int64_t from)
{
    const layer *l = &c->l[i], *next = l + 1;
    if (i + 1 == c->p->layers)
        return (plane_rows){c->y + from * l->window.ow, l->oh * l->window.ow, l->window.ow};
    if (next->window.sw == 2)
        return (plane_rows){(float *)(void *)(c->scratch + l->staged), l->made * planes_whole_vectors(l->window.ow), planes_whole_vectors(l->window.ow)};
    return (plane_rows){band_of(c, next) + (from - next->first) * next->row.floats + next->row.lead, next->plane, next->row.floats};
}

/* Staged output rows [from, to) of layer i to the next band. */
static void part_rows(const chain *c, int64_t i, plane_rows staged, int64_t from, int64_t to)
{
    const layer *next = &c->l[i + 1];
    float *band = band_of(c, next) + (from - next->first) * next->row.floats;
    for (int64_t o = 0; o < c->l[i].oc; o++, band += next->plane, staged.at += staged.plane)
        planes_part(next->window, &next->row, band, staged.at, staged.ld, to - from);
}

/* Where the row of x lies that layer l reads `rows` output rows after `row`, to be asked for meanwhile; NULL: x is not what it reads, or has none. */
static const float *row_ahead(const chain *c, const layer *l, int64_t row, int64_t rows)
{
    const int64_t at = (row + rows) * l->sh - l->pt;
    return l == c->l && at >= 0 && at < l->window.ih ? c->x + at * l->window.iw : NULL;
}

static void dense_rows(const chain *c, const layer *l, plane_rows y, int64_t from, int64_t to)
{
    const int one_tap = l->kh == 1 && l->window.kw == 1 && l->window.sw == 1;
    const float *w = l->w;
    fc_planes_args a = {.y_plane = (size_t)y.plane, .taps = (int64_t *)(void *)(c->scratch + l->taps), .bias = w + 2, .w = w + 2 + l->oc,
                        .k = (size_t)(l->ic * l->kh * l->window.kw), .oc = (size_t)l->oc, .lo = w[0], .hi = w[1],
                        .ahead_plane = (size_t)(l->window.ih * l->window.iw)};
    const int64_t rows = l->flat ? to - from : 1;
    a.count = (size_t)(rows * l->window.ow);
    for (int64_t row = from; row < to; row += rows) {
        a.ahead = one_tap ? row_ahead(c, l, row, to - from) : NULL;
        a.x = band_of(c, l) + (row * l->sh - l->pt - l->first) * l->row.floats;
        a.y = y.at + (row - from) * y.ld;
        fc_active->planes->rows(&a);
    }
}

static void depthwise_rows(const chain *c, const layer *l, plane_rows y, int64_t from, int64_t to)
{
    const planes_depthwise k = planes_depthwise_of(l->window, l->kh, l->sh, l->dh);
    const float *w = l->w, *taps = w + 2 + l->oc;
    fc_depthwise_rows_args a = {.ldy = (size_t)y.ld, .x_row = (size_t)(l->dh * l->row.floats), .kh = (size_t)l->kh,
                                .kw = (size_t)l->window.kw, .sw = (size_t)l->window.sw, .dw = (size_t)l->window.dw,
                                .odd = (size_t)l->row.odd, .count = (size_t)l->window.ow, .lo = w[0], .hi = w[1]};
    const float *x = band_of(c, l) + planes_column(l->window, &l->row, 0) + (from * l->sh - l->pt - l->first) * l->row.floats;
    for (int64_t o = 0; o < l->oc; o++, x += l->plane, y.at += y.plane, taps += l->kh * l->window.kw) {
        a.w = taps;
        a.bias = w[2 + o];
        planes_depthwise_run(&k, &a, y.at, x, l->sh * l->row.floats, to - from);
    }
}

static void make_rows(chain *c, int64_t i, int64_t from, int64_t to);

/* Zeros instead of the `count` input rows from `row` on, which lie outside. */
static void clear_rows(const chain *c, const layer *l, int64_t row, int64_t count)
{
    float *band = band_of(c, l) + (row - l->first) * l->row.floats;
    for (int64_t i = 0; count > 0 && i < l->ic; i++, band += l->plane)
        memset(band, 0, (size_t)(count * l->row.floats) * sizeof *band);
}

/* Input rows [top, bottom) of layer i into its band. */
static void ask_for_rows(chain *c, int64_t i, int64_t top, int64_t bottom)
{
    layer *l = &c->l[i];
    const int64_t kept = fc_max(l->have - top, 0), ld = l->row.floats;
    float *band = band_of(c, l);
    for (int64_t k = 0; kept && top > l->first && k < l->ic; k++)
        memmove(band + k * l->plane, band + k * l->plane + (top - l->first) * ld, (size_t)(kept * ld) * sizeof *band);
    const int64_t from = top + kept;
    int64_t begin = fc_max(from, fc_min(bottom, 0));
    const int64_t end = fc_max(begin, fc_min(bottom, l->window.ih));
    l->first = top;
    l->have = bottom;
    if (i == 0) {
        for (int64_t k = 0; k < l->ic; k++)
            planes_fill(l->window, &l->row, band + k * l->plane + kept * ld, c->x + k * l->window.ih * l->window.iw, from, bottom - from);
        return;
    }
    clear_rows(c, l, from, begin - from);
    clear_rows(c, l, end, bottom - end);
    for (int64_t made = c->l[i - 1].made; begin < end; begin += made)
        make_rows(c, i - 1, begin, fc_min(begin + made, end));
}

/* Output rows [from, to) of layer i, at most as many as it makes at a time. */
static void make_rows(chain *c, int64_t i, int64_t from, int64_t to)
{
    const layer *l = &c->l[i];
    ask_for_rows(c, i, from * l->sh - l->pt, (to - 1) * l->sh - l->pt + (l->kh - 1) * l->dh + 1);
    const plane_rows y = target_of(c, i, from);
    (l->depthwise ? depthwise_rows : dense_rows)(c, l, y, from, to);
    if (i + 1 < c->p->layers && l[1].window.sw == 2)
        part_rows(c, i, y, from, to);
}

fc_status fc_run_planes_chain(const void *params, void *const *t, const fc_team *team)
{
    const fc_planes_chain *p = params;
    chain c = chain_of(p);
    const layer *last = &c.l[p->layers - 1];
    int64_t begin, end;
    fc_share(team, p->n * last->oh, &begin, &end);
    if (begin >= end)
        return FC_OK;
    c.scratch = team->scratch;
    for (int64_t i = 0; i < p->layers; i++) {
        for (int64_t k = 0; k < c.l[i].ic; k++)
            planes_clear_sides(c.l[i].window, &c.l[i].row, band_of(&c, &c.l[i]) + k * c.l[i].plane, c.l[i].rows);
        c.l[i].w = t[2 + i];
        if (!c.l[i].depthwise)
            list_taps(&c, &c.l[i]);
    }
    for (int64_t image = -1; begin < end;) {
        const int64_t row = begin % last->oh, count = fc_min(fc_min(p->block, last->oh - row), end - begin);
        if (begin / last->oh != image) {
            image = begin / last->oh;
            c.x = (const float *)t[1] + image * p->ic[0] * p->ih * p->iw;
            c.y = (float *)t[0] + image * last->oc * last->oh * last->window.ow;
            for (int64_t i = 0; i < p->layers; i++)
                c.l[i].first = c.l[i].have = BEFORE_ALL;
        }
        make_rows(&c, p->layers - 1, row, row + count);
        begin += count;
    }
    return FC_OK;
}
