/* The band of a convolution on row-major planes: the input rows of some output rows of a plane with zeros around them, in scratch.
 *
 * With a stride of 2 the even and the odd columns, counted from the padding, are parted on the way, so that all taps load what lies side by side.
 */
#ifndef FC_PLANES_BAND_H
#define FC_PLANES_BAND_H

#include <string.h>

#include "kernels/kernels.h"
#include "team.h"

typedef struct planes_row {
    int64_t lead, odd;       /* where input column 0 lies in a row of the band; where the odd columns begin, with a stride of 2 */
    int64_t floats;          /* of a row of the band, in whole vectors */
} planes_row;

/* What of a window's columns and of the input a band depends on. */
typedef struct planes_window {
    int64_t kw, sw, dw, pl, ih, iw, ow;
} planes_window;

static inline int64_t planes_whole_vectors(int64_t n) { return (n + FC_MAX_VECTOR - 1) / FC_MAX_VECTOR * FC_MAX_VECTOR; }

static inline planes_row planes_row_of(planes_window p)
{
    const int64_t seen = planes_whole_vectors(p.ow);
    planes_row l = {0};
    if (p.sw == 1) {
        l.lead = planes_whole_vectors(p.pl);
        l.floats = planes_whole_vectors(fc_max(l.lead + p.iw, l.lead - p.pl + seen + (p.kw - 1) * p.dw));
    } else {
        const int64_t half = fc_max(seen + (p.kw - 1) * p.dw / 2 + 1, (p.pl + p.iw) / 2 + 1 + FC_MAX_VECTOR);
        l.odd = planes_whole_vectors(half);
        l.floats = 2 * l.odd;
    }
    return l;
}

/* Floats from one channel of a band to the next, `rows` rows each: an odd number of cache lines, so that the same columns of all channels, which a
 * tile reads together, lie in different sets of L1. 1x1 of 64 channels of 80x80, in a chain: 42 -> 35 cycles a vector (EPYC Zen 3, 2026-11-30). */
static inline int64_t planes_apart(const planes_row *l, int64_t rows)
{
    const int64_t lines = (rows * l->floats + FC_MAX_VECTOR - 1) / FC_MAX_VECTOR;
    return (lines + 1 - lines % 2) * FC_MAX_VECTOR;
}

/* Where in a row of the band the first output column's tap at input column `column`, counted from the padding, lies. */
static inline int64_t planes_column(planes_window p, const planes_row *l, int64_t column)
{
    return p.sw == 1 ? l->lead - p.pl + column : column % 2 * l->odd + column / 2;
}

/* `count` rows of x, ldx apart, to rows of the band with parted columns. */
static inline void planes_part(planes_window p, const planes_row *l, float *band, const float *x, int64_t ldx, int64_t count)
{
    const size_t ld = (size_t)l->floats, width = (size_t)p.iw;
    const int64_t half = p.pl / 2;
    if (p.pl % 2 == 0)
        fc_active->depthwise_rows->part(band + half, band + l->odd + half, ld, x, (size_t)ldx, (size_t)count, width);
    else                     /* column 0 is an odd one, counted from the padding */
        fc_active->depthwise_rows->part(band + l->odd + half, band + half + 1, ld, x, (size_t)ldx, (size_t)count, width);
}

/* Input rows [top, top + count) of plane x to the band, zeros where they lie outside. The zeros beside them stay, whatever rows came before. */
static inline void planes_fill(planes_window p, const planes_row *l, float *band, const float *x, int64_t top, int64_t count)
{
    const int64_t begin = fc_min(fc_max(-top, 0), count), end = fc_max(begin, fc_min(count, p.ih - top));
    memset(band, 0, (size_t)(begin * l->floats) * sizeof(float));
    memset(band + end * l->floats, 0, (size_t)((count - end) * l->floats) * sizeof(float));
    if (begin == end)
        return;
    band += begin * l->floats;
    const size_t ld = (size_t)l->floats, width = (size_t)p.iw;
    x += (top + begin) * p.iw;
    if (p.sw == 1)
        fc_active->depthwise_rows->copy(band + l->lead, ld, x, width, (size_t)(end - begin), width);
    else
        planes_part(p, l, band, x, p.iw, end - begin);
}

/* Zeros to the left and right of the input, which no fill writes, in `count` rows of the band. */
static inline void planes_clear_sides(planes_window p, const planes_row *l, float *band, int64_t count)
{
    const int64_t end = p.sw == 1 ? l->lead + p.iw : 0;
    for (int64_t r = 0; r < count; r++, band += l->floats) {
        memset(band, 0, (size_t)(p.sw == 1 ? l->lead : l->floats) * sizeof *band);
        memset(band + end, 0, (size_t)(l->floats - end) * sizeof *band);
    }
}

/* The kernels of a depthwise window: of `tile` output rows, or of that many and more; and of one. */
typedef struct planes_depthwise {
    int64_t tile;
    fc_depthwise_rows_kernel many, one;
    int rolled;
} planes_depthwise;

/* Windows whose middle begins with the first input column, which begins a vector of the band, roll. */
static inline planes_depthwise planes_depthwise_of(planes_window p, int64_t kh, int64_t sh, int64_t dh)
{
    const fc_depthwise_rows_kernels *k = fc_active->depthwise_rows;
    const int64_t kw = p.kw, sw = p.sw;
    if (kh != kw || (kw != 3 && kw != 5 && kw != 7) || dh != 1 || p.dw != 1 || sh != sw)
        return (planes_depthwise){1, k->any, k->any, 0};
    const int64_t shape = (kw - 3) / 2;
    if (sw == 1 && p.pl == kw / 2 && k->rolled[shape])
        return (planes_depthwise){kw - 1, k->rolled[shape], k->row[shape][0], 1};
    return (planes_depthwise){k->tile_rows, k->tile[shape][sw - 1], k->row[shape][sw - 1], 0};
}

/* `rows` output rows from the band on, whose windows are x_step apart. A tile that would not be full begins earlier, if there are as many rows. */
static inline void planes_depthwise_run(const planes_depthwise *k, fc_depthwise_rows_args *a, float *y, const float *x, int64_t x_step, int64_t rows)
{
    const int64_t tile = rows < k->tile ? 1 : k->rolled ? rows : k->tile;
    a->rows = (size_t)rows;
    for (int64_t next = 0; next < rows; next += tile) {
        const int64_t row = fc_min(next, rows - tile);
        a->x = x + row * x_step;
        a->y = y + row * (int64_t)a->ldy;
        (rows < k->tile ? k->one : k->many)(a);
    }
}

#endif
