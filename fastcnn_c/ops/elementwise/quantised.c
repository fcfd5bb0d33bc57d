/* Elementwise steps of 8-bit values: quantise, dequantise, tables, sums and products; sums of such values as floats. */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/walk.h"

/* Elements of a piece of a row; of a strided one, which goes through the stack; pixels between planes and pixels, whose lines stay in L1. */
enum { BLOCK = 4096, STRIDED_BLOCK = 256, PIXELS = 256 };

/* ---- quantise, dequantise ---- */

typedef struct convert {
    float *floats;
    uint8_t *bytes;
    int64_t float_step, byte_step, bytes_from;    /* bytes_from: operand of the walk that the bytes are */
    float scale;
    int32_t zero;
} convert;

static void convert_row(const convert *c, float *floats, uint8_t *bytes, int64_t n)
{
    if (c->bytes_from)
        fc_active_bytes->dequantise->row(floats, bytes, (size_t)n, c->scale, c->zero);
    else
        fc_active_bytes->quantise->row(bytes, floats, (size_t)n, c->scale, c->zero);
}

static void contiguous_row(void *context, const int64_t *at, int64_t n)
{
    const convert *c = context;
    convert_row(c, c->floats + at[!c->bytes_from], c->bytes + at[c->bytes_from], n);
}

static void strided_row(void *context, const int64_t *at, int64_t n)
{
    const convert *c = context;
    float block[STRIDED_BLOCK], *floats = c->floats + at[!c->bytes_from];
    uint8_t small[STRIDED_BLOCK], *bytes = c->bytes + at[c->bytes_from];
    if (!c->bytes_from)
        fc_pack_row(block, floats, c->float_step, n);
    for (int64_t i = 0; c->bytes_from && i < n; i++)
        small[i] = bytes[i * c->byte_step];
    convert_row(c, block, small, n);
    if (c->bytes_from)
        fc_unpack_row(floats, c->float_step, block, n);
    for (int64_t i = 0; !c->bytes_from && i < n; i++)
        bytes[i * c->byte_step] = small[i];
}

/* Planes of floats and pixels of bytes: two dimensions of a walk, along one of which floats are neighbours, along the other bytes. */
typedef struct planes {
    int64_t channels, plane, pixels, pixel;
} planes;

/* Takes these two dimensions out of the walk; 0 where there are none. */
static int take_planes(fc_walk *w, const convert *c, planes *p)
{
    int along[2] = {-1, -1};    /* of the floats, of the bytes */
    for (int d = 0; d < w->ndim; d++) {
        along[0] = w->stride[!c->bytes_from][d] == 1 ? d : along[0];
        along[1] = w->stride[c->bytes_from][d] == 1 ? d : along[1];
    }
    if (along[0] < 0 || along[1] < 0 || along[0] == along[1])
        return 0;
    *p = (planes){.channels = w->shape[along[1]], .plane = w->stride[!c->bytes_from][along[1]], .pixels = w->shape[along[0]],
                  .pixel = w->stride[c->bytes_from][along[0]]};
    int kept = 0;
    for (int d = 0; d < w->ndim; d++) {
        if (d == along[0] || d == along[1])
            continue;
        w->shape[kept] = w->shape[d];
        for (int k = 0; k < w->operands; k++)
            w->stride[k][kept] = w->stride[k][d];
        kept++;
    }
    w->ndim = kept;
    return p->plane > 0 && p->pixel > 0;
}

/* Pixels [begin, end) of all channels, four at a time; the last four overlap those before where channels are no multiple. */
static void convert_pixels(const convert *c, const planes *p, const fc_cursor *cursor, int64_t begin, int64_t end)
{
    float *floats = c->floats + cursor->at[!c->bytes_from] + begin;
    uint8_t *bytes = c->bytes + cursor->at[c->bytes_from] + begin * p->pixel;
    const size_t plane = (size_t)p->plane, pixel = (size_t)p->pixel, n = (size_t)(end - begin);
    for (int64_t i = 0; i < p->channels; i += 4) {
        const int64_t k = fc_max(0, fc_min(i, p->channels - 4));
        const size_t together = (size_t)fc_min(4, p->channels);
        if (c->bytes_from)
            fc_active_bytes->dequantise->planes(floats + k * p->plane, plane, bytes + k, pixel, together, n, c->scale, c->zero);
        else
            fc_active_bytes->quantise->planes(bytes + k, pixel, floats + k * p->plane, plane, together, n, c->scale, c->zero);
    }
}

static void convert_planes(const convert *c, const planes *p, const fc_walk *walk, const fc_team *team)
{
    const int64_t pieces = fc_ceil_div(p->pixels, PIXELS);
    int64_t begin, end;
    fc_share(team, fc_walk_count(walk, walk->ndim) * pieces, &begin, &end);
    for (; begin < end; begin++) {
        fc_cursor cursor;
        fc_cursor_seek(walk, walk->ndim, begin / pieces, &cursor);
        const int64_t first = begin % pieces * PIXELS;
        convert_pixels(c, p, &cursor, first, fc_min(p->pixels, first + PIXELS));
    }
}

static void run_conversion(convert *c, fc_walk *walk, const fc_team *team)
{
    planes p;
    const fc_walk whole = *walk;
    c->float_step = fc_walk_inner_stride(walk, !c->bytes_from);
    c->byte_step = fc_walk_inner_stride(walk, (int)c->bytes_from);
    if (c->float_step == 1 && c->byte_step == 1)
        fc_walk_rows(walk, team, BLOCK, contiguous_row, c);
    else if (take_planes(walk, c, &p))
        convert_planes(c, &p, walk, team);
    else
        fc_walk_rows(&whole, team, STRIDED_BLOCK, strided_row, c);
}

fc_status fc_run_quantise(const void *params, void *const *t, const fc_team *team)
{
    const fc_quantise *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    convert c = {.floats = t[1], .bytes = t[0], .bytes_from = 0, .scale = p->scale, .zero = (int32_t)p->zero};
    run_conversion(&c, &walk, team);
    return FC_OK;
}

/* Pixels whose channels are neighbours: each is a row with the same factors. */
typedef struct scaled_pixels {
    uint8_t *y;
    const float *x, *factor, *offset;
    int64_t y_step, x_step, c;
    fc_quantise_args args;
} scaled_pixels;

static void scaled_row(void *context, const int64_t *at, int64_t pixels)
{
    const scaled_pixels *s = context;
    fc_active_bytes->quantise->scaled(s->y + at[0], (size_t)s->y_step, s->x + at[1], (size_t)s->x_step, s->factor, s->offset, (size_t)pixels,
                                      (size_t)s->c, &s->args);
}

fc_status fc_run_quantise_scaled(const void *params, void *const *t, const fc_team *team)
{
    const fc_quantise_scaled *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    scaled_pixels s = {.y = t[0], .x = t[1], .factor = t[2], .offset = t[3], .y_step = fc_walk_inner_stride(&walk, 0),
                       .x_step = fc_walk_inner_stride(&walk, 1), .c = p->c, .args = {.scale = p->scale, .lo = p->lo, .hi = p->hi, .zero = (int32_t)p->zero}};
    fc_walk_rows(&walk, team, fc_max(1, BLOCK / p->c), scaled_row, &s);
    return FC_OK;
}

fc_status fc_run_dequantise(const void *params, void *const *t, const fc_team *team)
{
    const fc_dequantise *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    convert c = {.floats = t[0], .bytes = t[1], .bytes_from = 1, .scale = p->scale, .zero = (int32_t)p->zero};
    run_conversion(&c, &walk, team);
    return FC_OK;
}

/* ---- table, qadd, qmul, qprelu ---- */

static void gather_bytes(uint8_t *block, const uint8_t *x, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        block[i] = x[i * step];
}

static void scatter_bytes(uint8_t *y, int64_t step, const uint8_t *block, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i * step] = block[i];
}

typedef struct byte_rows {
    fc_table_kernel lookup;
    fc_qbinary_kernel kernel;
    fc_qbinary_args args;
    uint8_t *y;
    const uint8_t *a, *b;       /* b: the table of a lookup */
    int64_t b_size;             /* bytes of an element of b */
    int64_t y_step, a_step, b_step;
    int64_t inner;              /* elements of a short row of which a lookup takes many, y_step and a_step apart */
    const uint8_t *source;      /* a row of b that repeats, laid out in `row`, and how long it is */
    int64_t period;
    float row[BLOCK];
} byte_rows;

static void table_row(void *context, const int64_t *at, int64_t n)
{
    const byte_rows *r = context;
    r->lookup(r->y + at[0], 0, r->a + at[1], 0, 1, (size_t)n, r->b);
}

static void table_short_rows(void *context, const int64_t *at, int64_t rows)
{
    const byte_rows *r = context;
    r->lookup(r->y + at[0], (size_t)r->y_step, r->a + at[1], (size_t)r->a_step, (size_t)rows, (size_t)r->inner, r->b);
}

static void table_row_strided(void *context, const int64_t *at, int64_t n)
{
    const byte_rows *r = context;
    for (int64_t i = 0; i < n; i++)
        r->y[at[0] + i * r->y_step] = r->b[r->a[at[1] + i * r->a_step]];
}

fc_status fc_run_table(const void *params, void *const *t, const fc_team *team)
{
    const fc_table *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    byte_rows r;
    r.lookup = fc_active_table();
    r.y = t[0], r.a = t[1], r.b = t[2];
    r.y_step = fc_walk_inner_stride(&walk, 0), r.a_step = fc_walk_inner_stride(&walk, 1), r.inner = fc_walk_inner(&walk);
    const int contiguous = r.y_step == 1 && r.a_step == 1;
    if (contiguous && walk.ndim > 1 && r.inner <= BLOCK / 4) {     /* channels of a pixel between other ones */
        walk.ndim--;
        r.y_step = fc_walk_inner_stride(&walk, 0), r.a_step = fc_walk_inner_stride(&walk, 1);
        if (r.y_step > 0 && r.a_step > 0) {
            fc_walk_rows(&walk, team, BLOCK / r.inner, table_short_rows, &r);
            return FC_OK;
        }
        walk.ndim++;
    }
    fc_walk_rows(&walk, team, BLOCK, contiguous ? table_row : table_row_strided, &r);
    return FC_OK;
}

static void binary_row(void *context, const int64_t *at, int64_t n)
{
    const byte_rows *r = context;
    r->kernel(r->y + at[0], r->a + at[1], r->b + at[2] * r->b_size, (size_t)n, &r->args);
}

static void binary_row_repeated(void *context, const int64_t *at, int64_t n)
{
    byte_rows *r = context;
    const uint8_t *source = r->b + at[2] * r->b_size;
    if (r->source != source)
        for (int64_t i = 0; i < fc_repeat_block(r->period, BLOCK); i += r->period)
            memcpy((uint8_t *)r->row + i * r->b_size, source, (size_t)(r->period * r->b_size));
    r->source = source;
    r->kernel(r->y + at[0], r->a + at[1], r->row, (size_t)n, &r->args);
}

static void binary_row_strided(void *context, const int64_t *at, int64_t n)
{
    const byte_rows *r = context;
    uint8_t y[STRIDED_BLOCK], a[STRIDED_BLOCK] = {0};
    float b[STRIDED_BLOCK] = {0};
    gather_bytes(a, r->a + at[1], r->a_step, n);
    if (r->b_size == 1)
        gather_bytes((uint8_t *)b, r->b + at[2], r->b_step, n);
    else
        fc_pack_row(b, (const float *)(const void *)r->b + at[2], r->b_step, n);
    r->kernel(y, a, b, (size_t)n, &r->args);
    scatter_bytes(r->y + at[0], r->y_step, y, n);
}

static fc_status run_binary(const fc_qadd *p, void *const *t, const fc_team *team, fc_qbinary_kernel kernel, int64_t b_size)
{
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->a_strides, p->b_strides});
    byte_rows r;    /* no initialiser: that would clear the row */
    r.kernel = kernel;
    r.b_size = b_size;
    r.args = (fc_qbinary_args){.a_factor = p->a_factor, .b_factor = p->b_factor, .a_zero = (int32_t)p->a_zero, .b_zero = (int32_t)p->b_zero,
                               .zero = (int32_t)p->zero, .lo = (int32_t)p->lo, .hi = (int32_t)p->hi};
    r.y = t[0], r.a = t[1], r.b = t[2];
    r.y_step = fc_walk_inner_stride(&walk, 0), r.a_step = fc_walk_inner_stride(&walk, 1), r.b_step = fc_walk_inner_stride(&walk, 2);
    r.source = NULL;
    r.period = fc_walk_inner(&walk) <= BLOCK / 4 ? fc_walk_merge_repeated(&walk, 2) : 0;
    if (r.period)
        fc_walk_rows(&walk, team, fc_repeat_block(r.period, BLOCK), binary_row_repeated, &r);
    else if (r.y_step == 1 && r.a_step == 1 && r.b_step == 1)
        fc_walk_rows(&walk, team, BLOCK, binary_row, &r);
    else
        fc_walk_rows(&walk, team, STRIDED_BLOCK, binary_row_strided, &r);
    return FC_OK;
}

fc_status fc_run_qadd(const void *params, void *const *t, const fc_team *team)
{
    return run_binary(params, t, team, fc_active_bytes->qadd, 1);
}

fc_status fc_run_qmul(const void *params, void *const *t, const fc_team *team)
{
    _Static_assert(sizeof(fc_qmul) == sizeof(fc_qadd), "the same fields");
    return run_binary(params, t, team, fc_active_bytes->qmul, 1);
}

fc_status fc_run_qprelu(const void *params, void *const *t, const fc_team *team)
{
    return run_binary(params, t, team, fc_active_bytes->qprelu, sizeof(float));
}

/* ---- round_sum ---- */

typedef struct round_rows {
    fc_round_sum_args args;
    float *y;
    const float *a, *b;
    int64_t y_step, a_step, b_step;
} round_rows;

static void round_row(void *context, const int64_t *at, int64_t n)
{
    const round_rows *r = context;
    fc_active_bytes->round_sum(r->y + at[0], r->a + at[1], r->b + at[2], (size_t)n, &r->args);
}

static void round_row_strided(void *context, const int64_t *at, int64_t n)
{
    const round_rows *r = context;
    float y[STRIDED_BLOCK], a[STRIDED_BLOCK], b[STRIDED_BLOCK];
    fc_pack_row(a, r->a + at[1], r->a_step, n);
    fc_pack_row(b, r->b + at[2], r->b_step, n);
    fc_active_bytes->round_sum(y, a, b, (size_t)n, &r->args);
    fc_unpack_row(r->y + at[0], r->y_step, y, n);
}

fc_status fc_run_round_sum(const void *params, void *const *t, const fc_team *team)
{
    const fc_round_sum *p = params;
    fc_walk walk;
    fc_walk_make(&walk, p->ndim, p->shape, 3, (const int64_t *const[]){p->y_strides, p->a_strides, p->b_strides});
    round_rows r = {.args = {.a_factor = p->a_factor, .b_factor = p->b_factor, .lo = p->lo, .hi = p->hi}, .y = t[0], .a = t[1], .b = t[2],
                    .y_step = fc_walk_inner_stride(&walk, 0), .a_step = fc_walk_inner_stride(&walk, 1),
                    .b_step = fc_walk_inner_stride(&walk, 2)};
    const int contiguous = r.y_step == 1 && r.a_step == 1 && r.b_step == 1;
    fc_walk_rows(&walk, team, contiguous ? BLOCK : STRIDED_BLOCK, contiguous ? round_row : round_row_strided, &r);
    return FC_OK;
}
