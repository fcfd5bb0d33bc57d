/* Weights that only exist at run time, packed as fc_gemm_pack_b packs constant ones. Threads share groups. */
#include "../team.h"

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
