/* Between program.c and threads.c: barriers and parallel regions. */
#ifndef FC_THREADS_H
#define FC_THREADS_H

#include <stdatomic.h>

#include "team.h"

struct fc_barrier {
    _Alignas(FC_ALIGN) atomic_int arrived;
    _Alignas(FC_ALIGN) atomic_uint generation;
};

void fc_barrier_init(fc_barrier *barrier);

/* Returns when *counter has reached `value`; spins, then gives the processor away. */
void fc_wait_for(atomic_int *counter, int value);

/* Threads for a run that can use `threads`: its share of the CPUs among the runs of the process that are under way, at least 1.
 * More would wait for each other's time slices. Every fc_begin_run has its fc_end_run. */
int fc_begin_run(int threads);
void fc_end_run(void);

/* What fc_begin_run would give just now. */
int fc_next_share(int threads);

/* body(argument, id, count) on `threads` threads at once, or on fewer when the system gives fewer. */
void fc_parallel(void (*body)(void *, int, int), void *argument, int threads);

#endif
