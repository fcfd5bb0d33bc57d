/* One axis of bytes resampled with weights of 22 bits behind the point: antialiased Resize of uint8 and int8, pass by pass, each pass
 * rounded to bytes (as Pillow and onnxruntime do; the latter clips int8 to [0, 255], which we take for a mistake).
 */
#include "kernels/kernels.h"
#include "team.h"

enum { FIXED_BITS = 22, HALF = 1 << (FIXED_BITS - 1), BLOCK = 1024, TOGETHER = 4, FEW = 16 };

size_t fc_scratch_resize_fixed(const void *params, int threads)
{
    (void)params;
    (void)threads;
    return BLOCK * sizeof(int32_t);
}

/* A sum without its fraction, in the range of bytes from `low` on. */
static inline uint8_t byte_of(int32_t sum, int32_t low)
{
    const int32_t v = sum >> FIXED_BITS;
    return (uint8_t)(v < low ? low : v > low + 255 ? low + 255 : v);
}

/* Output element j of a position in front of the axis, an inner run of elements at a time. */
static void run_inner(const fc_resize_fixed *p, const int32_t *w, const uint8_t *x, uint8_t *y, int32_t *sum)
{
    const int32_t low = p->dtype == FC_I8 ? INT8_MIN : 0;
    for (int64_t i0 = 0; i0 < p->inner; i0 += BLOCK) {
        const int64_t n = fc_min(BLOCK, p->inner - i0);
        for (int64_t i = 0; i < n; i++)
            sum[i] = HALF;
        for (int64_t k = 0; k < p->taps; k++) {
            const uint8_t *row = x + k * p->inner + i0;
            if (w[k] != 0 && p->dtype == FC_I8)
                fc_active->resize->mac_i8(sum, w[k], (const int8_t *)row, (size_t)n);
            else if (w[k] != 0)
                fc_active->resize->mac_u8(sum, w[k], row, (size_t)n);
        }
        for (int64_t i = 0; i < n; i++)
            y[i0 + i] = byte_of(sum[i], low);
    }
}

/* Output elements along the axis of `rows` rows at once, where few elements follow each other. */
static inline __attribute__((always_inline)) void run_axis(const fc_resize_fixed *p, const int32_t *first, const int32_t *w, const uint8_t *x,
                                                           uint8_t *y, const int64_t rows, const int is_signed)
{
    const int64_t inner = p->inner, in = p->in * inner, out = p->out * inner;
    for (int64_t j = 0; j < p->out; j++, w += p->taps)
        for (int64_t i = 0; i < inner; i++) {
            int32_t sum[TOGETHER] = {HALF, HALF, HALF, HALF};
            const uint8_t *from = x + first[j] * inner + i;
            for (int64_t k = 0; k < p->taps; k++, from += inner)
                for (int64_t r = 0; r < rows; r++)
                    sum[r] += w[k] * (is_signed ? (int8_t)from[r * in] : from[r * in]);
            for (int64_t r = 0; r < rows; r++)
                y[r * out + j * inner + i] = byte_of(sum[r], is_signed ? INT8_MIN : 0);
        }
}

static void run_rows(const fc_resize_fixed *p, void *const *t, int64_t begin, int64_t end)
{
    const int32_t *first = t[2], *w = t[3];
    for (int64_t o = begin; o < end;) {
        const uint8_t *x = (const uint8_t *)t[1] + o * p->in * p->inner;
        uint8_t *y = (uint8_t *)t[0] + o * p->out * p->inner;
        const int64_t rows = end - o >= TOGETHER ? TOGETHER : 1;
        if (p->dtype == FC_I8)
            rows == 1 ? run_axis(p, first, w, x, y, 1, 1) : run_axis(p, first, w, x, y, TOGETHER, 1);
        else
            rows == 1 ? run_axis(p, first, w, x, y, 1, 0) : run_axis(p, first, w, x, y, TOGETHER, 0);
        o += rows;
    }
}

/* Threads share what is in front of the axis, or with it the axis itself. */
fc_status fc_run_resize_fixed(const void *params, void *const *t, const fc_team *team)
{
    const fc_resize_fixed *p = params;
    int64_t begin, end;
    fc_share(team, p->inner < FEW ? p->outer : p->outer * p->out, &begin, &end);
    if (p->inner < FEW) {
        run_rows(p, t, begin, end);
        return FC_OK;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t o = unit / p->out, j = unit % p->out;
        const uint8_t *x = (const uint8_t *)t[1] + (o * p->in + ((const int32_t *)t[2])[j]) * p->inner;
        run_inner(p, (const int32_t *)t[3] + j * p->taps, x, (uint8_t *)t[0] + unit * p->inner, team->scratch);
    }
    return FC_OK;
}
