/* Walking a program: one parallel region per inference, a barrier after each step. */
#include <time.h>

#include "threads.h"

typedef struct walk {
    const fc_program *program;
    void *const *bases;
    char *scratch;
    double *seconds;
    fc_barrier barrier;
    atomic_int status;
} walk;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static fc_status run_step(const fc_step *step, void *const *bases, const fc_team *team)
{
    void *t[FC_MAX_OPERANDS];
    for (int32_t k = 0; k < step->operand_count; k++) {
        const fc_ref ref = step->operands[k];
        if (ref.base == FC_BASE_ABSOLUTE)
            t[k] = ref.offset == -1 ? NULL : (void *)(intptr_t)ref.offset;
        else
            t[k] = (char *)bases[ref.base] + ref.offset;
    }
    return step->run(step->params, t, team);
}

static void walk_steps(void *argument, int id, int count)
{
    walk *w = argument;
    fc_team team = {.id = id, .count = count, .barrier = &w->barrier, .shared = w->scratch,
                    .scratch = w->scratch + (size_t)id * w->program->scratch_bytes};
    const fc_team alone = {.id = 0, .count = 1, .barrier = NULL, .scratch = team.scratch, .shared = team.scratch};
    double start = w->seconds ? now() : 0.0;
    for (int64_t k = 0; k < w->program->step_count; k++) {
        const fc_step *step = &w->program->steps[k];
        const int single = step->max_threads == 1;
        /* After a failure the steps are skipped but their barriers kept: a thread that left early would strand the others. */
        if ((!single || id == 0) && atomic_load_explicit(&w->status, memory_order_relaxed) == FC_OK) {
            const fc_status status = run_step(step, w->bases, single ? &alone : &team);
            if (status != FC_OK)
                atomic_store(&w->status, (int)status);
        }
        fc_team_wait(&team);
        if (w->seconds && id == 0) {
            const double end = now();
            w->seconds[k] = end - start;
            start = end;
        }
    }
}

fc_status fc_program_run(const fc_program *program, void *const *bases, void *scratch, int threads, double *seconds)
{
    walk w = {.program = program, .bases = bases, .scratch = scratch, .seconds = seconds};
    fc_barrier_init(&w.barrier);
    atomic_init(&w.status, FC_OK);
    if (threads <= 1) {
        walk_steps(&w, 0, 1);
        return (fc_status)atomic_load(&w.status);
    }
    const fc_status entered = fc_parallel(walk_steps, &w, threads);
    return entered != FC_OK ? entered : (fc_status)atomic_load(&w.status);
}
