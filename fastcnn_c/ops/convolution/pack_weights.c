/* Weights that only exist at run time: packed as fc_gemm_pack_b packs constant ones, or packed ones scaled by input channel. */
#include "kernels/kernels.h"
#include "team.h"

/* Threads share groups. */
fc_status fc_run_pack_weights(const void *params, void *const *t, const fc_team *team)
{
    const fc_pack_weights *p = params;
    const int64_t packed = (int64_t)fc_gemm_packed_floats(p->oc, p->k, p->nv);
    int64_t begin, end;
    fc_share(team, p->groups, &begin, &end);
    for (int64_t g = begin; g < end; g++)
        fc_gemm_pack_b((float *)t[0] + g * packed, (const float *)t[1] + g * p->oc * p->k, p->oc, p->k, p->k, 0, p->nv);
    return FC_OK;
}

/* Threads share rows of k, counted over all panels. */
fc_status fc_run_scale_weights(const void *params, void *const *t, const fc_team *team)
{
    const fc_scale_weights *p = params;
    const int64_t v = fc_active->vector_length, vectors = fc_ceil_div(p->oc, v), panels = fc_ceil_div(vectors, p->nv);
    const float *w = t[1], *scale = t[2];
    float *y = t[0];
    int64_t begin, end;
    fc_share(team, panels * p->k, &begin, &end);
    while (begin < end) {
        const int64_t panel = begin / p->k, k = begin % p->k, rows = fc_min(p->k - k, end - begin);
        const int64_t n = v * fc_min(p->nv, vectors - panel * p->nv), at = panel * p->nv * v * p->k + k * n;
        fc_active->scale_shift->rows(y + at, w + at, scale + k, (size_t)rows, (size_t)n);
        begin += rows;
    }
    return FC_OK;
}
