/* Deformable convolution: every tap of every output pixel reads x where its offset says, by bilinear interpolation, times its mask.
 *
 * The taps of a block of output pixels are interpolated into the rows of a matrix [pixels][kh*kw][channels] in scratch, small
 * enough for L2; the register tiles of gemm multiply it by the packed weights, kernel taps as runs of k.
 */
#include <math.h>

#include "team.h"
#include "kernels/kernels.h"

/* Bytes of the matrix: half of a common L2, so that large weights are read again for few blocks. Corners of a bilinear sample. */
enum { DEFORM_MATRIX_BYTES = 1024 * 1024, DEFORM_CORNERS = 4 };

typedef struct deform_run {
    const fc_deform_conv *p;
    const float *x, *w, *bias, *offset, *mask;
    float *y, *matrix, *weight;
    int32_t *index;
    fc_tap *taps;
} deform_run;

static int64_t channels_of(const fc_deform_conv *p) { return p->groups * p->ic; }
static int64_t row_floats(const fc_deform_conv *p) { return p->kh * p->kw * channels_of(p); }

/* Whether rows of y follow each other, so that a tile may go on in the next one. */
static int joins_rows(const fc_deform_conv *p) { return p->y_row == p->ow * p->y_pixel; }

/* Output pixels of a block: whole tiles, at least one. */
static int64_t block_pixels(const fc_deform_conv *p)
{
    const int64_t mr = fc_active->gemm->max_mr[p->nv];
    const int64_t fits = DEFORM_MATRIX_BYTES / (int64_t)sizeof(float) / fc_max(row_floats(p), 1) / mr * mr;
    return fc_min(fc_max(fits, mr), fc_max(joins_rows(p) ? p->oh * p->ow : p->ow, 1));
}

static size_t matrix_bytes(const fc_deform_conv *p) { return fc_align_up((size_t)(block_pixels(p) * row_floats(p)) * sizeof(float)); }
static size_t table_bytes(const fc_deform_conv *p) { return fc_align_up((size_t)(block_pixels(p) * DEFORM_CORNERS) * sizeof(float)); }

size_t fc_scratch_deform_conv(const void *params, int threads)
{
    (void)threads;
    const fc_deform_conv *p = params;
    return matrix_bytes(p) + 2 * table_bytes(p) + fc_align_up((size_t)(p->kh * p->kw) * sizeof(fc_tap));
}

/* Corner k of a sample at (y, x) with a factor: its pixel and weight, both 0 outside the image. */
static void list_corners(const fc_deform_conv *p, float y, float x, float factor, int32_t *index, float *weight)
{
    const int near = y > -1.0f && y < (float)p->ih && x > -1.0f && x < (float)p->iw;     /* false for NaN too */
    const float top = near ? floorf(y) : 0.0f, left = near ? floorf(x) : 0.0f, fy = y - top, fx = x - left;
    const float wy[2] = {1.0f - fy, fy}, wx[2] = {1.0f - fx, fx};
    for (int k = 0; k < DEFORM_CORNERS; k++) {
        const int64_t iy = (int64_t)top + k / 2, ix = (int64_t)left + k % 2;
        const int inside = near && iy >= 0 && iy < p->ih && ix >= 0 && ix < p->iw;
        index[k] = inside ? (int32_t)(iy * p->x_row + ix * p->x_pixel) : 0;
        weight[k] = inside ? wy[k / 2] * wx[k % 2] * factor : 0.0f;
    }
}

/* Rows of the matrix for output pixels [ox, ox + count) of row oy. */
static void sample_rows(const deform_run *r, float *matrix, int64_t image, int64_t oy, int64_t ox, int64_t count)
{
    const fc_deform_conv *p = r->p;
    const int64_t taps = p->kh * p->kw, width = channels_of(p) / p->offset_groups;
    const float *offset = r->offset + image * p->o_image + oy * p->o_row + ox * p->o_pixel;
    const float *mask = r->mask ? r->mask + image * p->m_image + oy * p->m_row + ox * p->m_pixel : NULL;
    for (int64_t g = 0; g < p->offset_groups; g++)
        for (int64_t tap = 0; tap < taps; tap++) {
            const int64_t at = g * taps + tap;
            const float y0 = (float)(oy * p->sh - p->pt + tap / p->kw * p->dh);
            for (int64_t i = 0; i < count; i++) {
                const float x0 = (float)((ox + i) * p->sw - p->pl + tap % p->kw * p->dw), *o = offset + i * p->o_pixel + 2 * at;
                list_corners(p, y0 + o[0], x0 + o[1], mask ? mask[i * p->m_pixel + at] : 1.0f, r->index + i * DEFORM_CORNERS,
                             r->weight + i * DEFORM_CORNERS);
            }
            const fc_resize_columns_args a = {.y = matrix + tap * channels_of(p) + g * width, .y_pixel = (size_t)row_floats(p),
                                              .x = r->x + image * p->x_image + g * width, .x_pixel = 1, .index = r->index,
                                              .w = r->weight, .taps = DEFORM_CORNERS, .count = (size_t)count, .n = (size_t)width};
            fc_active->resize->columns[DEFORM_CORNERS](&a);
        }
}

/* The whole matrix, for `count` output pixels of an image from number `pixel` on. */
static void sample_pixels(const deform_run *r, int64_t image, int64_t pixel, int64_t count)
{
    const fc_deform_conv *p = r->p;
    for (int64_t done = 0; done < count;) {
        const int64_t oy = (pixel + done) / p->ow, ox = (pixel + done) % p->ow, n = fc_min(count - done, p->ow - ox);
        sample_rows(r, r->matrix + done * row_floats(p), image, oy, ox, n);
        done += n;
    }
}

/* y[count][oc] of one group from the matrix. */
static void multiply(const deform_run *r, float *y, int64_t count, int64_t g)
{
    const fc_deform_conv *p = r->p;
    const int64_t v = fc_active->vector_length, nr = p->nv * v, k = p->kh * p->kw * p->ic;
    const float *w = r->w + g * fc_ceil_div(p->oc, v) * v * k;
    for (int64_t j0 = 0; j0 < p->oc; j0 += nr) {
        const int64_t n = fc_min(nr, p->oc - j0), nv = fc_ceil_div(n, v);
        const int64_t tiles = fc_ceil_div(count, fc_active->gemm->max_mr[nv]);
        for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t i0 = count * tile / tiles, mr = count * (tile + 1) / tiles - i0;
            const fc_gemm_args args = {
                .c = y + i0 * p->y_pixel + g * p->oc + j0, .ldc = (size_t)p->y_pixel, .a = r->matrix + i0 * row_floats(p) + g * p->ic,
                .lda = (size_t)row_floats(p), .tap = r->taps, .taps = p->groups == 1 ? 1 : (size_t)(p->kh * p->kw),
                .kc = (size_t)(p->groups == 1 ? k : p->ic), .b = w + j0 * k, .n = (size_t)n,
                .bias = r->bias ? r->bias + g * p->oc + j0 : NULL, .lo = -INFINITY, .hi = INFINITY};
            fc_active->gemm->tile[nv][mr](&args);
        }
    }
}

/* Threads share output rows. */
fc_status fc_run_deform_conv(const void *params, void *const *t, const fc_team *team)
{
    const fc_deform_conv *p = params;
    char *tables = (char *)team->scratch + matrix_bytes(p);
    const deform_run r = {.p = p, .x = t[1], .w = t[2], .bias = t[3], .offset = t[4], .mask = t[5], .y = t[0], .matrix = team->scratch,
                          .index = (int32_t *)(void *)tables, .weight = (float *)(void *)(tables + table_bytes(p)),
                          .taps = (fc_tap *)(void *)(tables + 2 * table_bytes(p))};
    for (int64_t tap = 0; tap < p->kh * p->kw; tap++)
        r.taps[tap] = (fc_tap){tap * channels_of(p), tap * p->ic};
    int64_t begin, end;
    fc_share(team, p->n * p->oh, &begin, &end);
    for (int64_t at = begin * p->ow; at < end * p->ow;) {
        const int64_t size = p->oh * p->ow, image = at / size, pixel = at % size;
        const int64_t room = fc_min(end * p->ow - at, joins_rows(p) ? size - pixel : p->ow - pixel % p->ow);
        const int64_t count = fc_min(block_pixels(p), room);
        sample_pixels(&r, image, pixel, count);
        for (int64_t g = 0; g < p->groups; g++)
            multiply(&r, r.y + image * p->y_image + pixel / p->ow * p->y_row + pixel % p->ow * p->y_pixel, count, g);
        at += count;
    }
    return FC_OK;
}
