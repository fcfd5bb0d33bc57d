/* Columns of the output whose windows reach into padding at the left or right, where the columns between them read x in place. What an edge
 * column reads is copied to a band of its own, [row of x][kernel column][channel], padding included: the outputs of a column lie one below the
 * other there, and tiles run down the rows of y.
 */
#ifndef FC_QCONV_EDGES_H
#define FC_QCONV_EDGES_H

#include <string.h>

#include "steps.h"
#include "team.h"

typedef struct qconv_edges {
    int64_t left, right;            /* columns [left, right) see no padding */
    int64_t count;                  /* columns beside them */
} qconv_edges;

static inline qconv_edges edges_of(const fc_qconv *p)
{
    const int64_t left = fc_min(fc_max(fc_ceil_div(p->pl, p->sw), 0), p->ow);
    const int64_t last = p->iw - 1 - (p->kw - 1) * p->dw + p->pl;                   /* of x where a window may begin, counted with the padding */
    const int64_t right = fc_min(fc_max(last < 0 ? 0 : last / p->sw + 1, left), p->ow);
    return (qconv_edges){left, right, left + p->ow - right};
}

static inline int64_t edge_row(const fc_qconv *p) { return p->kw * p->ic; }
static inline int64_t edge_rows(const fc_qconv *p, int64_t out_rows) { return (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }
static inline int64_t edge_column(qconv_edges e, int64_t number) { return number < e.left ? number : e.right + number - e.left; }

/* What output rows [oy, oy + rows) of all edge columns read, edge_rows(block) rows a column. */
static inline void fill_edges(const fc_qconv *p, uint8_t *band, const uint8_t *x, int64_t oy, int64_t rows)
{
    const qconv_edges e = edges_of(p);
    for (int64_t i = 0; i < e.count; i++)
        for (int64_t r = 0; r < edge_rows(p, rows); r++) {
            uint8_t *to = band + (i * edge_rows(p, p->block) + r) * edge_row(p);
            const int64_t iy = oy * p->sh - p->pt + r, first = edge_column(e, i) * p->sw - p->pl;
            for (int64_t s = 0; s < p->kw; s++, to += p->ic) {
                const int64_t ix = first + s * p->dw;
                if (iy < 0 || iy >= p->ih || ix < 0 || ix >= p->iw)
                    memset(to, (int)p->x_zero, (size_t)p->ic);
                else
                    memcpy(to, x + iy * p->x_row + ix * p->x_pixel, (size_t)p->ic);
            }
        }
}

#endif
