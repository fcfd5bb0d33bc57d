/* Checked builds poison all of the arena but the operands of the running step: AddressSanitizer by itself would check only its two ends. */
#ifndef FC_GUARD_H
#define FC_GUARD_H

#include "fastcnn.h"

#if FC_CHECKED
#include <sanitizer/asan_interface.h>

static inline void fc_guard_step(const fc_program *program, const fc_step *step, char *arena)
{
    ASAN_POISON_MEMORY_REGION(arena, program->arena_bytes);
    for (int k = 0; k < step->operand_count; k++)
        ASAN_UNPOISON_MEMORY_REGION(arena + step->guard_begin[k], (size_t)(step->guard_end[k] - step->guard_begin[k]));
}

static inline void fc_guard_none(const fc_program *program, char *arena)
{
    ASAN_UNPOISON_MEMORY_REGION(arena, program->arena_bytes);
}
#else
static inline void fc_guard_step(const fc_program *program, const fc_step *step, char *arena)
{
    (void)program, (void)step, (void)arena;
}

static inline void fc_guard_none(const fc_program *program, char *arena)
{
    (void)program, (void)arena;
}
#endif

#endif
