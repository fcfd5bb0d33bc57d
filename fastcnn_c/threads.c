/* The barrier of a team, and the way into OpenMP that survives fork(). */
#include "threads.h"

#include <sched.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define fc_pause() _mm_pause()
#else
#define fc_pause() ((void)0)
#endif

/* Spins before the thread gives its processor away: about 20 us, far above the length of a step's imbalance, far below a time
 * slice. Only threads that outnumber the processors reach it. */
enum { SPINS_BEFORE_YIELD = 1000 };

void fc_barrier_init(fc_barrier *barrier)
{
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->generation, 0);
}

static void spin(int *spins)
{
    fc_pause();
    if (++*spins > SPINS_BEFORE_YIELD)
        sched_yield();
}

void fc_wait_for(atomic_int *counter, int value)
{
    for (int spins = 0; atomic_load_explicit(counter, memory_order_acquire) < value;)
        spin(&spins);
}

static void barrier_wait(fc_barrier *barrier, int count)
{
    const unsigned generation = atomic_load_explicit(&barrier->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == count) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->generation, generation + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&barrier->generation, memory_order_acquire) == generation;)
        spin(&spins);
}

void fc_team_wait(const fc_team *team)
{
    if (team->count > 1)
        barrier_wait(team->barrier, team->count);
}

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>

/* libgomp's child of a forked process hangs in its first parallel region when the parent has had one, because the pool it
 * inherits has no threads. A new thread of the child gets a pool of its own and runs well: GCC PR 60035. */
static atomic_int openmp_used, forked_after_use;

static void note_fork(void)
{
    if (atomic_load(&openmp_used))
        atomic_store(&forked_after_use, 1);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, note_fork);
}

typedef struct region {
    void (*body)(void *, int, int);
    void *argument;
    int threads;
} region;

static void enter(const region *r)
{
    atomic_store_explicit(&openmp_used, 1, memory_order_relaxed);
#pragma omp parallel num_threads(r->threads)
    r->body(r->argument, omp_get_thread_num(), omp_get_num_threads());
}

static void *enter_from_new_thread(void *argument)
{
    enter(argument);
    return NULL;
}

fc_status fc_parallel(void (*body)(void *, int, int), void *argument, int threads)
{
    region r = {body, argument, threads};
    if (!atomic_load_explicit(&forked_after_use, memory_order_relaxed)) {
        enter(&r);
        return FC_OK;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, enter_from_new_thread, &r) != 0)
        return FC_ERR_THREADS;
    pthread_join(thread, NULL);
    return FC_OK;
}

int fc_built_with_openmp(void) { return 1; }
#else
fc_status fc_parallel(void (*body)(void *, int, int), void *argument, int threads)
{
    (void)threads;
    body(argument, 0, 1);
    return FC_OK;
}

int fc_built_with_openmp(void) { return 0; }
#endif
