/* Packing of 8-bit weights, once per model. They may lie at any address, in a mapped file for instance. */
#include "kernels/kernels.h"
#include "ops/convolution/qdepthwise.h"

#include <string.h>

enum { WORD = 4 };

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

size_t fc_qconv_packed_bytes(int64_t oc, int64_t ic, int64_t kh, int64_t kw, int whole_rows)
{
    const int64_t run = round_up(whole_rows ? kw * ic : ic, WORD), runs = whole_rows ? kh : kh * kw;
    return (size_t)(round_up(oc, fc_active->vector_length) * runs * run);
}

/* A run of one filter: taps [first, first + taps), each of all channels, to words `step` bytes apart. */
static void pack_run(int8_t *to, int64_t step, const int8_t *filter, int64_t ic, int64_t window, int64_t first, int64_t taps)
{
    if (window == 1) {
        for (int64_t k = 0; k < ic; k += WORD, to += step)
            memcpy(to, filter + k, (size_t)(ic - k < WORD ? ic - k : WORD));
        return;
    }
    int64_t k = 0;
    for (int64_t s = first; s < first + taps; s++)
        for (int64_t c = 0; c < ic; c++, k++)
            to[k / WORD * step + k % WORD] = filter[c * window + s];
}

void fc_qconv_pack(int8_t *packed, const void *w, int64_t oc, int64_t ic, int64_t kh, int64_t kw, int64_t nv, int whole_rows)
{
    const int64_t v = fc_active->vector_length, window = kh * kw, taps = whole_rows ? kw : 1, runs = window / taps;
    const int64_t words = round_up(taps * ic, WORD) / WORD;
    memset(packed, 0, fc_qconv_packed_bytes(oc, ic, kh, kw, whole_rows));
    for (int64_t j0 = 0; j0 < oc; j0 += nv * v) {
        const int64_t columns = oc - j0 < nv * v ? oc - j0 : nv * v, step = round_up(columns, v) * WORD;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t r = 0; r < runs; r++)
                pack_run(packed + r * words * step + j * WORD, step, (const int8_t *)w + (j0 + j) * ic * window, ic, window, r * taps, taps);
        packed += runs * words * step;
    }
}

size_t fc_qdepthwise_packed_bytes(int64_t c, int64_t kh, int64_t kw, int64_t sh, int64_t dh)
{
    const int64_t v = fc_active->vector_length, group = 16 * v * fc_qdepthwise_rows(kh, sh, dh) * kw * ((kh + 3) / 4);
    int64_t bytes = 0;
    for (int64_t first = 0; first < c; first += 4 * v / fc_qdepthwise_parts(c - first))
        bytes += group;
    return (size_t)bytes;
}

/* The four rows of word l of plane q: window rows from `row` on, of output row r. */
static void pack_quad(int8_t *to, const int8_t *filter, int64_t row, int64_t column, int64_t kh, int64_t kw)
{
    for (int64_t k = 0; k < 4; k++)
        to[k] = row + k >= 0 && row + k < kh ? filter[(row + k) * kw + column] : 0;
}

void fc_qdepthwise_pack(int8_t *packed, const void *w, int64_t c, int64_t kh, int64_t kw, int64_t sh, int64_t dh)
{
    const int64_t v = fc_active->vector_length, rows = fc_qdepthwise_rows(kh, sh, dh), quads = (kh + 3) / 4;
    memset(packed, 0, fc_qdepthwise_packed_bytes(c, kh, kw, sh, dh));
    for (int64_t first = 0; first < c;) {
        const int parts = fc_qdepthwise_parts(c - first);
        for (int64_t t = 0; t < quads * kw; t++)
            for (int64_t q = 0; q < 4; q++)
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t l = 0; l < v; l++, packed += 4) {
                        const int64_t channel = first + fc_qdepthwise_channel(q, l, parts);
                        if (channel < c && channel < first + 4 * v / parts)
                            pack_quad(packed, (const int8_t *)w + channel * kh * kw, 4 * (t / kw) - r * sh, t % kw, kh, kw);
                    }
        first += 4 * v / parts;
    }
}
