/* The table of step kinds: what _native.pyx marshals keyword arguments by. */
#include "team.h"

#define FC_ROW_I(name) {#name, 'i'},
#define FC_ROW_F(name) {#name, 'f'},
#define FC_ROW_V(name) {#name, 'v'},
#define FC_FIELD_TABLE(kind, scratch) \
    static const fc_field fields_##kind[] = {FC_FIELDS_##kind(FC_ROW_I, FC_ROW_F, FC_ROW_V){NULL, 0}};
FC_STEP_LIST(FC_FIELD_TABLE)

#define FC_KIND_ROW(kind, scratch) {#kind, fc_run_##kind, scratch, sizeof(fc_##kind), fields_##kind},
const fc_step_kind fc_step_kinds[] = {FC_STEP_LIST(FC_KIND_ROW){NULL, NULL, NULL, 0, NULL}};

size_t fc_scratch_none(const void *params, int threads)
{
    (void)params;
    (void)threads;
    return 0;
}

static int always(const void *params, int threads)
{
    (void)params;
    return threads > 1;
}

/* The steps that call fc_team_wait, and when. tests/test_architecture.py knows them from their files. */
static const struct {
    fc_step_fn run;
    int (*together)(const void *params, int threads);
} meetings[] = {{fc_run_winograd, fc_winograd_together}, {fc_run_group_norm, always}, {fc_run_max_unpool, always},
                {fc_run_nms, always}, {fc_run_recurrent, always}, {fc_run_dynamic_product, always}};

int fc_step_together(fc_step_fn run, const void *params, int threads)
{
    for (size_t k = 0; k < sizeof meetings / sizeof *meetings; k++)
        if (meetings[k].run == run)
            return meetings[k].together(params, threads);
    return 0;
}
