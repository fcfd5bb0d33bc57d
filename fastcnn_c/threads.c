/* How many threads a run gets, the barrier of a team, and the way into OpenMP that survives fork() and a limit on threads. */
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

/* CPUs as tests set them and as a quota of the process bounds them; 0: neither. */
static atomic_int told_cpus, quota_cpus;
/* Runs of this process under way: they share the CPUs. */
static atomic_int runs;

void fc_set_cpus(int cpus) { atomic_store(&told_cpus, cpus); }

void fc_set_cpu_quota(int cpus) { atomic_store(&quota_cpus, cpus); }

static int allowed_cpus(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    return FC_MAX_THREADS;      /* not Linux, or more CPUs than the set holds */
}

int fc_cpus(void)
{
    const int told = atomic_load_explicit(&told_cpus, memory_order_relaxed);
    if (told)
        return told;
    const int allowed = allowed_cpus(), quota = atomic_load_explicit(&quota_cpus, memory_order_relaxed);
    return quota && quota < allowed ? quota : allowed;
}

static int share_of_cpus(int threads, int sharing)
{
    if (threads <= 1)
        return 1;
    const int share = fc_cpus() / sharing;
    return share >= threads ? threads : share > 1 ? share : 1;
}

int fc_begin_run(int threads)
{
    return share_of_cpus(threads, atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed) + 1);
}

int fc_next_share(int threads)
{
    return share_of_cpus(threads, atomic_load_explicit(&runs, memory_order_relaxed) + 1);
}

void fc_end_run(void) { atomic_fetch_sub_explicit(&runs, 1, memory_order_relaxed); }

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>

/* libgomp's child of a forked process hangs in its first parallel region when the thread that forked has had one: the pool it
 * inherits has no threads (GCC PR 60035). So the thread gives its pool back before it forks; parent and child make a new one when
 * they next need it, some 50 us. Where that fails, a region of the child is entered from a new thread, which has a pool of its own.
 *
 * Clang's libomp begins anew in a child by itself. Its own handler holds its locks while others prepare for a fork, so that a call of
 * omp_pause_resource_all would wait for ever. */
static _Thread_local int pool_threads;      /* of the pool that OpenMP keeps for this thread; 0: it has none */
static _Thread_local int pool_is_lost;
static atomic_int forked_with_pool;

static void before_fork(void)
{
    if (pool_threads == 0)
        return;
#if defined(__clang__)
    pool_is_lost = 0;
#elif __GNUC__ >= 9
    pool_is_lost = omp_pause_resource_all(omp_pause_hard) != 0;
#else
    pool_is_lost = 1;
#endif
    pool_threads = 0;
}

static void in_child(void)
{
    if (pool_is_lost)
        atomic_store(&forked_with_pool, 1);
    atomic_store(&runs, 0);     /* those under way were in threads that the child has not */
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, NULL, in_child);
}

/* Threads that could be started just now, at most `count`. OpenMP ends the process when it cannot start one: asked here first. */
typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t opened;
    int open;
} gate;

static void *wait_at(void *argument)
{
    gate *g = argument;
    pthread_mutex_lock(&g->mutex);
    while (!g->open)
        pthread_cond_wait(&g->opened, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

static int can_start(int count)
{
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    pthread_t started[FC_MAX_THREADS];
    int n = 0;
    while (n < count && pthread_create(&started[n], NULL, wait_at, &g) == 0)
        n++;
    pthread_mutex_lock(&g.mutex);
    g.open = 1;
    pthread_cond_broadcast(&g.opened);
    pthread_mutex_unlock(&g.mutex);
    for (int k = 0; k < n; k++)
        pthread_join(started[k], NULL);
    return n;
}

typedef struct region {
    void (*body)(void *, int, int);
    void *argument;
    int threads;
} region;

static void enter(const region *r)
{
    int threads = r->threads;
    if (threads > pool_threads)
        threads = 1 + can_start(threads - 1);
    pool_threads = threads;
#pragma omp parallel num_threads(threads)
    r->body(r->argument, omp_get_thread_num(), omp_get_num_threads());
}

static void *enter_from_new_thread(void *argument)
{
    enter(argument);
    return NULL;
}

void fc_parallel(void (*body)(void *, int, int), void *argument, int threads)
{
    region r = {body, argument, threads};
    pthread_t thread;
    if (!atomic_load_explicit(&forked_with_pool, memory_order_relaxed))
        enter(&r);
    else if (pthread_create(&thread, NULL, enter_from_new_thread, &r) == 0)
        pthread_join(thread, NULL);
    else
        body(argument, 0, 1);
}

int fc_built_with_openmp(void) { return 1; }
#else
void fc_parallel(void (*body)(void *, int, int), void *argument, int threads)
{
    (void)threads;
    body(argument, 0, 1);
}

int fc_built_with_openmp(void) { return 0; }
#endif
