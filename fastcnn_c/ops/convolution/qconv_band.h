/* A run of the qconv step, and the band: the rows of x that a block of output rows sees, copied with zero points around them. */
#ifndef FC_QCONV_BAND_H
#define FC_QCONV_BAND_H

#include <string.h>

#include "copy_short.h"
#include "kernels/kernels.h"
#include "qconv_edges.h"

enum { WORD = 4 }; /* values of k that a lane multiplies at a time */
enum { BAND = 1, BAND_OF_EDGES };

typedef struct qconv_run {
    fc_qconv p;                       /* as given, or with all pixels of an image as one row (make_flat) */
    uint8_t *y;
    const uint8_t *x, *residual, *table;
    const int8_t *w;
    const int32_t *offset;
    const float *factor;
    const int32_t *row_sums;          /* [kh][groups*oc]: of the weights of each kernel row */
    int64_t *runs;                    /* offsets of the runs of k, and how many, and words of each */
    int64_t count, words;
    int64_t row, pixel, group;        /* elements from one row, pixel, group to the next of what is multiplied: the band or x */
    uint8_t *band;
    int16_t *panel;                   /* a panel of w in 16 bits */
    const fc_qwide_kernels *wide;     /* NULL: operands are bytes */
    int64_t element;                  /* bytes of an element of what is multiplied */
    const fc_qgemm_kernel (*tile)[FC_QGEMM_MAX_MR + 1];
    const int *max_mr;
    int64_t first, last;              /* columns of a row that are computed */
    int64_t begin, end;               /* those of them whose tiles run along the row */
    qconv_edges edges;                /* none but with a band of them */
    int64_t y_bytes;                  /* of an element of y */
    int apart;                        /* pixels lie far apart and tiles are long */
    int skips;                        /* kernel rows in padding are left out */
    void (*turns)(const fc_qgemm_args *args, size_t pairs);   /* NULL: tiles by themselves */
    int bounded;                      /* nothing is so large that it has to be bounded before it is rounded to a byte */
    int near;                         /* as of fc_qgemm_args */
    uint32_t shape;                   /* of tile registers */
} qconv_run;

static inline int64_t band_width(const fc_qconv *p) { return (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1; }
static inline int64_t band_rows(const fc_qconv *p, int64_t out_rows) { return (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }

static inline int64_t run_words(const fc_qconv *p) { return fc_ceil_div((p->dw == 1 ? p->kw : 1) * p->ic, WORD); }

/* n bytes to elements [at, at + n) of the band. */
static inline void fill(const qconv_run *c, int64_t at, const uint8_t *from, int64_t n)
{
    if (c->wide)
        c->wide->activations((uint16_t *)(void *)c->band + at, from, (size_t)n);
    else
        memcpy(c->band + at, from, (size_t)n);
}

static inline void fill_padding(const qconv_run *c, int64_t at, int64_t n)
{
    uint16_t *wide = (uint16_t *)(void *)c->band + at;
    if (!n)
        return;
    if (!c->wide)
        memset(c->band + at, (int)c->p.x_zero, (size_t)n);
    for (int64_t i = 0; c->wide && i < n; i++)
        wide[i] = (uint16_t)c->p.x_zero;
}

/* One group of `count` pixels that are x_pixel bytes apart. */
static inline void fill_pixels(const qconv_run *c, int64_t at, const uint8_t *from, int64_t count)
{
    const fc_qconv *p = &c->p;
    if (p->x_pixel == p->ic)
        fill(c, at, from, count * p->ic);
    else if (!c->wide)
        copy_short(c->band + at, from, count, p->x_pixel, p->ic);
    else
        for (int64_t i = 0; i < count; i++)
            fill(c, at + i * p->ic, from + i * p->x_pixel, p->ic);
}

/* Input rows that output rows [oy, oy + rows) of an image see to the band: one group after the other, zero points around. */
static inline void fill_band(const qconv_run *c, const uint8_t *x, int64_t oy, int64_t rows)
{
    const fc_qconv *p = &c->p;
    const int64_t width = band_width(p), left = fc_min(fc_max(p->pl, 0), width), first = fc_max(-p->pl, 0);
    const int64_t inside = fc_max(fc_min(p->iw - first, width - left), 0), right = width - left - inside;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t r = 0; r < band_rows(p, rows); r++) {
            const int64_t iy = oy * p->sh - p->pt + r;
            const int64_t at = g * c->group + r * c->row;
            if (iy < 0 || iy >= p->ih || !inside) {
                fill_padding(c, at, c->row);
                continue;
            }
            fill_padding(c, at, left * p->ic);
            fill_pixels(c, at + left * p->ic, x + iy * p->x_row + first * p->x_pixel + g * p->ic, inside);
            fill_padding(c, at + (left + inside) * p->ic, right * p->ic);
        }
}

#endif
