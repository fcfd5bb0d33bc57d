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

/* Where in a row of the band the first output column's tap at input column `column`, counted from the padding, lies. */
static inline int64_t planes_column(planes_window p, const planes_row *l, int64_t column)
{
    return p.sw == 1 ? l->lead - p.pl + column : column % 2 * l->odd + column / 2;
}

/* Input rows [top, top + count) of plane x to the band, zeros where they lie outside. The zeros beside them stay, whatever rows came before. */
static inline void planes_fill(planes_window p, const planes_row *l, float *band, const float *x, int64_t top, int64_t count)
{
    const int64_t begin = fc_min(fc_max(-top, 0), count), end = fc_max(begin, fc_min(count, p.ih - top)), half = p.pl / 2;
    memset(band, 0, (size_t)(begin * l->floats) * sizeof(float));
    memset(band + end * l->floats, 0, (size_t)((count - end) * l->floats) * sizeof(float));
    if (begin == end)
        return;
    band += begin * l->floats;
    const size_t ld = (size_t)l->floats, width = (size_t)p.iw, rows = (size_t)(end - begin);
    x += (top + begin) * p.iw;
    if (p.sw == 1)
        fc_active->depthwise_rows->copy(band + l->lead, ld, x, width, rows, width);
    else if (p.pl % 2 == 0)
        fc_active->depthwise_rows->part(band + half, band + l->odd + half, ld, x, width, rows, width);
    else                     /* column 0 is an odd one, counted from the padding */
        fc_active->depthwise_rows->part(band + l->odd + half, band + half + 1, ld, x, width, rows, width);
}

#endif
