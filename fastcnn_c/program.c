/* Walking a program: one parallel region per inference, every step cut into as many shares as there are threads.
 *
 * A thread takes its own share first, so that rows stay in the cache of the core that made them, then any that nobody has begun.
 * So a thread that the system keeps from running holds up the others only by the share it is at work on; when it comes back it
 * finds the steps done and catches up. Steps whose shares wait for each other (fc_step_together) need every thread and meet at the
 * barrier. Who does a share changes nothing in the numbers.
 */
#include <string.h>
#include <time.h>

#include "guard.h"
#include "threads.h"

/* Of one step. */
typedef struct progress {
    atomic_int done;                       /* shares finished */
    atomic_uchar taken[FC_MAX_THREADS];    /* shares begun; only the first `threads` exist */
} progress;

typedef struct walk {
    const fc_program *program;
    void *const *bases;
    char *scratch;
    char *state;
    double *seconds;
    double *spans;
    const volatile double *until;
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
    void *t[FC_MAX_OPERANDS] = {NULL};
    for (int32_t k = 0; k < step->operand_count; k++) {
        const fc_ref ref = step->operands[k];
        if (ref.base == FC_BASE_ABSOLUTE)
            t[k] = ref.offset == -1 ? NULL : (void *)(intptr_t)ref.offset;
        else
            t[k] = (char *)bases[ref.base] + ref.offset;
    }
    fc_prefetch prefetch = {.first = 0};
    fc_team own = *team;
    own.prefetch = step->prefetch[0].at ? &prefetch : NULL;
    for (int k = 0; k < FC_MAX_PREFETCH && step->prefetch[k].at; k++) {
        int64_t begin, end;
        fc_share(team, step->prefetch[k].end - step->prefetch[k].at, &begin, &end);
        prefetch.range[k] = (fc_range){step->prefetch[k].at + begin, step->prefetch[k].at + end};
    }
    return step->run(step->params, t, &own);
}

static size_t progress_bytes(int threads)
{
    return fc_align_up(offsetof(progress, taken) + (size_t)threads);
}

size_t fc_program_state_bytes(const fc_program *program, int threads)
{
    return (size_t)program->step_count * progress_bytes(threads);
}

/* Run one share unless the program has failed already; a failed program is walked to its end, so that no thread is left waiting.
 * Where threads meet in a step, all of them have to find the same status: it changes only in steps before. */
static void run_share(walk *w, const fc_step *step, const fc_team *team)
{
    if (atomic_load_explicit(&w->status, memory_order_relaxed) != FC_OK)
        return;
    const double until = w->until ? *w->until : 0.0;
    const int late = until > 0 && (team->barrier == NULL || team->count == 1) && now() > until;
    const fc_status status = late ? FC_ERR_TIME : run_step(step, w->bases, team);
    if (status != FC_OK)
        atomic_store(&w->status, (int)status);
}

/* All shares of a step: those that nobody has begun here, beginning with this thread's own, then the wait for the rest. end: NULL, or
 * where to note when the wait began. */
static void share_step(walk *w, const fc_step *step, progress *at, int id, int shares, char *scratch, double *end)
{
    for (int n = 0; n < shares; n++) {
        const fc_team team = {.id = (id + n) % shares, .count = shares, .barrier = NULL, .scratch = scratch, .shared = scratch};
        if (atomic_exchange_explicit(&at->taken[team.id], 1, memory_order_relaxed))
            continue;
        run_share(w, step, &team);
        atomic_fetch_add_explicit(&at->done, 1, memory_order_release);
    }
    if (end)
        *end = now();
    fc_wait_for(&at->done, shares);
}

static void walk_steps(void *argument, int id, int count)
{
    walk *w = argument;
    char *scratch = w->scratch + (size_t)id * w->program->scratch_bytes;
    const fc_team team = {.id = id, .count = count, .barrier = &w->barrier, .scratch = scratch, .shared = w->scratch};
    double start = w->seconds ? now() : 0.0;
    for (int64_t k = 0; k < w->program->step_count; k++) {
        const fc_step *step = &w->program->steps[k];
        double *span = w->spans ? w->spans + 2 * (id * w->program->step_count + k) : NULL;
        if (span)
            span[0] = now();
        if (count == 1) {
            fc_guard_step(w->program, step, w->bases[FC_BASE_ARENA]);
            run_share(w, step, &team);
        } else if (step->together && step->max_threads != 1) {
            run_share(w, step, &team);
            fc_team_wait(&team);
        } else {
            share_step(w, step, (progress *)(void *)(w->state + (size_t)k * progress_bytes(count)), id,
                       step->max_threads == 1 ? 1 : count, scratch, span ? span + 1 : NULL);
        }
        if (span && (count == 1 || (step->together && step->max_threads != 1)))
            span[1] = now();
        if (w->seconds && id == 0) {
            const double end = now();
            w->seconds[k] = atomic_load_explicit(&w->status, memory_order_relaxed) == FC_OK ? end - start : -1.0;
            start = end;
        }
    }
}

fc_status fc_program_run(const fc_program *program, void *const *bases, void *scratch, void *state, int threads, double *seconds,
                         double *spans, const volatile double *until)
{
    walk w = {.program = program, .bases = bases, .scratch = scratch, .state = state, .seconds = seconds, .spans = spans, .until = until};
    fc_barrier_init(&w.barrier);
    atomic_init(&w.status, FC_OK);
    const int given = fc_begin_run(threads);
    if (given == 1) {
        walk_steps(&w, 0, 1);
        fc_guard_none(program, bases[FC_BASE_ARENA]);
    } else {
        memset(state, 0, fc_program_state_bytes(program, given));
        fc_parallel(walk_steps, &w, given);
    }
    fc_end_run();
    return (fc_status)atomic_load(&w.status);
}

#if FC_CHECKED && defined(NDEBUG)
#error "a checked build keeps its assertions: -UNDEBUG"
#endif

int fc_checked(void)
{
    return FC_CHECKED;
}

void fc_guard_operand(fc_step *step, int k, int64_t begin, int64_t end)
{
#if FC_CHECKED
    step->guard_begin[k] = begin;
    step->guard_end[k] = end;
#else
    (void)step, (void)k, (void)begin, (void)end;
#endif
}

void fc_guard_arena(fc_program *program, size_t arena_bytes)
{
#if FC_CHECKED
    program->arena_bytes = arena_bytes;
#else
    (void)program, (void)arena_bytes;
#endif
}
