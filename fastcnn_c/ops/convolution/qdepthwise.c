/* Depthwise convolution of 8-bit values. A few rows of a block of columns are laid out in quads, four rows of a column beside each other, padding
 * being the zero point; a dot product then takes four taps of a column at a time. Contract of both: kernels/bytes.h.
 */
#include <string.h>

#include "qdepthwise.h"
#include "requantise.h"

enum { QUADS_BYTES = 32 * 1024, WORD = 4 }; /* of L1: the quads of a block of columns; bytes of a sum, of a factor */

/* Sizes, and where things lie in the scratch, in bytes. */
typedef struct layout {
    int64_t v, rows, quads;     /* vector length; output rows together, quads of rows that they see */
    int64_t block, plane;       /* output columns of a block; words of a plane */
    size_t taps, pointers, steps, phases, offset, factor, zero, words, bytes;
} layout;

/* Columns of x, sw apart, from `first` on: `left` in the padding before it, `inside`, `right` after it. */
typedef struct phase {
    int64_t first, left, inside, right;
} phase;

static size_t take(size_t *bytes, int64_t count, size_t size)
{
    const size_t at = *bytes;
    *bytes += fc_align_up((size_t)count * size);
    return at;
}

static layout layout_of(const fc_qdepthwise *p)
{
    layout l = {.v = fc_active->vector_length, .rows = fc_qdepthwise_rows(p->kh, p->sh, p->dh), .quads = fc_ceil_div(p->kh, 4)};
    const int64_t more = (p->kw - 1) * p->dw / p->sw + 8, planes = 4 * l.quads * p->sw;  /* columns after the last one's own, those of a vector, and as many too many */
    const int64_t fits = QUADS_BYTES / (4 * l.v) / planes - more;
    l.block = fc_ceil_div(p->ow, fc_ceil_div(p->ow, fc_max(fits, 8)));
    l.plane = (l.block + more) * l.v;
    l.taps = take(&l.bytes, l.quads * p->kw, sizeof(size_t));
    l.pointers = take(&l.bytes, 4 * l.quads, sizeof(uint8_t *));
    l.steps = take(&l.bytes, 4 * l.quads, sizeof(size_t));
    l.phases = take(&l.bytes, p->sw, sizeof(phase));
    l.offset = take(&l.bytes, 4 * l.v, sizeof(int32_t));
    l.factor = take(&l.bytes, 4 * l.v, sizeof(float));
    l.zero = take(&l.bytes, 4 * l.v, 1);
    l.words = take(&l.bytes, planes * l.plane, sizeof(int32_t));
    return l;
}

size_t fc_scratch_qdepthwise(const void *params, int threads)
{
    (void)threads;
    return layout_of(params).bytes;
}

/* One pass: n channels from c on of one image. */
typedef struct pass {
    const fc_qdepthwise *p;
    const layout *l;
    char *scratch;
    const uint8_t *x, *table;
    const int8_t *w;
    uint8_t *y;
    int64_t n;
    int parts;
} pass;

/* What belongs to the channels, 32 bits each, in the order of the words (fc_qdepthwise_channel): runs of four stay together. */
static void order_channels(const pass *s, void *to, const void *from)
{
    const int64_t v = s->l->v, run = fc_min(v, 4), mask = v == 1 ? 0 : v / 4 / s->parts - 1;
    char *word = to;
    for (int64_t q = 0; q < 4; q++)
        for (int64_t b = 0; b < v / run; b++, word += run * WORD) {
            const int64_t channel = (b & mask) * 16 + run * q, left = s->n - channel;
            if (left >= 4 && run == 4)
                memcpy(word, (const char *)from + channel * WORD, 4 * WORD);
            else {
                memset(word, 0, (size_t)(run * WORD));
                if (left > 0)
                    memcpy(word, (const char *)from + channel * WORD, (size_t)(fc_min(left, run) * WORD));
            }
        }
}

static void start_pass(const pass *s, const int32_t *offset, const float *factor)
{
    const fc_qdepthwise *p = s->p;
    const layout *l = s->l;
    size_t *taps = (size_t *)(void *)(s->scratch + l->taps);
    order_channels(s, s->scratch + l->offset, offset);
    order_channels(s, s->scratch + l->factor, factor);
    for (int64_t t = 0; t < l->quads * p->kw; t++) {
        const int64_t column = t % p->kw * p->dw, planes = 4 * (t / p->kw * p->sw + column % p->sw);
        taps[t] = (size_t)(planes * l->plane + column / p->sw * (l->v / (l->v == 1 ? 1 : s->parts)));
    }
    memset(s->scratch + l->zero, (int)p->x_zero, (size_t)(4 * l->v));
}

/* The columns of phase i, of sw, that `count` output columns from `column` on see. */
static phase phase_of(const pass *s, int64_t i, int64_t column, int64_t count)
{
    const fc_qdepthwise *p = s->p;
    const int64_t positions = count + (p->kw - 1) * p->dw / p->sw + s->parts, from = column * p->sw - p->pl + i;
    const int64_t left = fc_min(positions, from < 0 ? fc_ceil_div(-from, p->sw) : 0);
    const int64_t end = fc_max(left, fc_min(positions, from >= p->iw ? 0 : (p->iw - 1 - from) / p->sw + 1));
    return (phase){from + left * p->sw, left, end - left, positions - end};
}

/* The columns of a phase of four rows: those inside the image, zero points around. */
static void fill_phase(const pass *s, int32_t *quads, const uint8_t *const *rows, const size_t *steps, const phase *columns)
{
    const fc_qdepthwise *p = s->p;
    const uint8_t *at[4];
    size_t apart[4];
    for (int k = 0; k < 4; k++) {
        apart[k] = steps[k] * (size_t)p->sw;
        at[k] = rows[k] + columns->first * (int64_t)steps[k];
    }
    const fc_qfill_args a = {.quads = quads, .plane = (size_t)s->l->plane, .rows = at, .step = apart, .left = (size_t)columns->left,
                             .count = (size_t)columns->inside, .right = (size_t)columns->right, .n = (size_t)s->n, .parts = s->parts,
                             .x_zero = (int32_t)p->x_zero};
    fc_active_bytes->qdepthwise->fill(&a);
}

/* The quads of what columns of output rows from oy on see. */
static void fill_block(const pass *s, int64_t oy, const phase *phases)
{
    const fc_qdepthwise *p = s->p;
    const layout *l = s->l;
    const uint8_t **rows = (const uint8_t **)(void *)(s->scratch + l->pointers), *zero = (const uint8_t *)s->scratch + l->zero;
    size_t *steps = (size_t *)(void *)(s->scratch + l->steps);
    for (int64_t m = 0; m < 4 * l->quads; m++) {
        const int64_t iy = oy * p->sh - p->pt + m * p->dh;
        const int inside = iy >= 0 && iy < p->ih && m < p->kh + (l->rows - 1) * p->sh;
        rows[m] = inside ? s->x + iy * p->x_row : zero;
        steps[m] = inside ? (size_t)p->x_pixel : 0;
    }
    int32_t *quads = (int32_t *)(void *)(s->scratch + l->words);
    for (int64_t z = 0; z < l->quads; z++)
        for (int64_t i = 0; i < p->sw; i++, quads += 4 * l->plane)
            fill_phase(s, quads, rows + 4 * z, steps + 4 * z, phases + i);
}

/* Output rows [begin, end) of the pass. */
static void run_pass(const pass *s, int64_t begin, int64_t end)
{
    const fc_qdepthwise *p = s->p;
    const layout *l = s->l;
    fc_qdepthwise_args a = {.ldy = (size_t)p->y_row, .y_pixel = (size_t)p->y_pixel, .plane = (size_t)l->plane, .taps = (size_t)(l->quads * p->kw),
                            .w = s->w, .n = (size_t)s->n, .parts = s->parts, .zero = (int32_t)p->zero,
                            .lo = fc_byte_lo(p->lo, p->zero), .hi = fc_byte_hi(p->hi, p->zero)};
    a.quads = (const int32_t *)(const void *)(s->scratch + l->words);
    a.tap = (const size_t *)(const void *)(s->scratch + l->taps);
    a.offset = (const int32_t *)(const void *)(s->scratch + l->offset);
    a.factor = (const float *)(const void *)(s->scratch + l->factor);
    a.bounded = fc_is_bounded(a.factor, 4 * l->v);
    phase *phases = (phase *)(void *)(s->scratch + l->phases);
    for (int64_t column = 0; column < p->ow; column += l->block) {
        a.count = (size_t)fc_min(l->block, p->ow - column);
        for (int64_t i = 0; i < p->sw; i++)
            phases[i] = phase_of(s, i, column, (int64_t)a.count);
        for (int64_t oy = begin; oy < end; oy += l->rows) {
            a.rows = (size_t)fc_min(l->rows, end - oy);
            a.y = s->y + oy * p->y_row + column * p->y_pixel;
            fill_block(s, oy, phases);
            fc_active_bytes->qdepthwise->tile[l->rows - 1](&a);
            for (size_t r = 0; s->table && r < a.rows; r++)
                fc_active_table()(a.y + r * a.ldy, a.y_pixel, a.y + r * a.ldy, a.y_pixel, a.count, a.n, s->table);
        }
    }
}

/* Groups of channels [g0, g1) of output rows [begin, end) of one image. */
static void run_image(const fc_qdepthwise *p, const layout *l, void *const *t, char *scratch, int64_t image, const int64_t *groups,
                      const int64_t *rows)
{
    const int8_t *w = t[2];
    int64_t g = 0, parts;
    for (int64_t c = 0; c < p->c; c += 4 * l->v / parts, g++) {
        parts = fc_qdepthwise_parts(p->c - c);
        if (g >= groups[0] && g < groups[1]) {
            const pass s = {.p = p, .l = l, .scratch = scratch, .x = (const uint8_t *)t[1] + image * p->x_image + c, .table = t[5], .w = w,
                            .y = (uint8_t *)t[0] + image * p->y_image + c, .n = fc_min(p->c - c, 4 * l->v / parts), .parts = (int)parts};
            start_pass(&s, (const int32_t *)t[3] + c, (const float *)t[4] + c);
            run_pass(&s, rows[0], rows[1]);
        }
        w += 16 * l->v * l->rows * l->quads * p->kw;
    }
}

/* Threads share rows, which the producer's threads have in their caches, or channels where rows are few. */
fc_status fc_run_qdepthwise(const void *params, void *const *t, const fc_team *team)
{
    const fc_qdepthwise *p = params;
    const layout l = layout_of(p);
    int64_t groups = 0, begin, end;
    for (int64_t c = 0; c < p->c; c += 4 * l.v / fc_qdepthwise_parts(p->c - c))
        groups++;
    const int64_t tiles = fc_ceil_div(p->oh, l.rows);
    const int by_rows = p->n * tiles >= 4 * team->count;
    const int64_t pieces = by_rows ? tiles : groups;
    fc_share(team, p->n * pieces, &begin, &end);
    while (begin < end) {
        const int64_t image = begin / pieces, from = begin % pieces, to = fc_min(pieces, from + end - begin);
        const int64_t all_groups[2] = {0, groups}, all_rows[2] = {0, p->oh}, part[2] = {from, to};
        const int64_t rows[2] = {from * l.rows, fc_min(p->oh, to * l.rows)};
        run_image(p, &l, t, team->scratch, image, by_rows ? all_groups : part, by_rows ? rows : all_rows);
        begin += to - from;
    }
    return FC_OK;
}
