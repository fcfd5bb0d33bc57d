/* Between depthwise.c and depthwise_direct.c: the convolutions that read the tensor where it lies. */
#ifndef FC_DEPTHWISE_DIRECT_H
#define FC_DEPTHWISE_DIRECT_H

#include "../team.h"

int fc_depthwise_is_direct(const fc_depthwise *p);
void fc_run_depthwise_direct(const fc_depthwise *p, void *const *t, const fc_team *team);

#endif
