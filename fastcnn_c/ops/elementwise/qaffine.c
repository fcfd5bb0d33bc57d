/* A factor and a shift a channel of channels-last bytes: a normalisation between bytes and bytes. */
#include "kernels/kernels.h"
#include "team.h"

fc_status fc_run_qaffine(const void *params, void *const *t, const fc_team *team)
{
    const fc_qaffine *p = params;
    const fc_qbinary_args args = {.a_zero = (int32_t)p->x_zero, .zero = (int32_t)p->zero, .lo = (int32_t)p->lo, .hi = (int32_t)p->hi};
    int64_t begin, end;
    fc_share(team, p->n * p->h, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        uint8_t *y = (uint8_t *)t[0] + i / p->h * p->y_image + i % p->h * p->y_row;
        const uint8_t *x = (const uint8_t *)t[1] + i / p->h * p->x_image + i % p->h * p->x_row;
        fc_active_bytes->qaffine(y, (size_t)p->y_pixel, x, (size_t)p->x_pixel, t[2], t[3], (size_t)p->w, (size_t)p->c, &args);
    }
    return FC_OK;
}
