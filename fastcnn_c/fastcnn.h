/* The border: everything fastcnn/ may know of fastcnn_c/. Mirrored by _native.pxd.
 *
 * A program is an array of steps over tensors; fc_program_run walks it once, without allocating. Sizes and strides are in
 * ELEMENTS unless a name says bytes. fp32 tensors that convolutions touch are channels-last: element (n, y, x, c) lies at
 * n*image + y*row + x*pixel + c with pixel >= c's extent, so a channel slice of a wider tensor is an offset and a pitch.
 */
#ifndef FASTCNN_H
#define FASTCNN_H

#include <stddef.h>
#include <stdint.h>

#define FC_MAX_DIMS 8        /* dimensions of a strided walk, after merging */
#define FC_MAX_OPERANDS 14   /* tensors of one step, the output included */
#define FC_MAX_THREADS 256
#define FC_ALIGN 64          /* bytes: tensors in the arena, packed weights, scratch */

typedef enum fc_status {
    FC_OK = 0,
    FC_ERR_INDEX = 1,     /* an index tensor points outside the data */
    FC_ERR_MEMORY = 2,    /* no memory for a team */
    FC_ERR_TIME = 3,      /* the run took longer than it may */
} fc_status;

typedef enum fc_isa { FC_ISA_SCALAR, FC_ISA_AVX2, FC_ISA_AVX2_VNNI, FC_ISA_AVX512, FC_ISA_AVX512_VNNI, FC_ISA_AVX512_AMX, FC_ISA_COUNT } fc_isa;

typedef enum fc_dtype {
    FC_F32, FC_F64, FC_I8, FC_I16, FC_I32, FC_I64, FC_U8, FC_U16, FC_U32, FC_U64, FC_BOOL, FC_F16, FC_DTYPE_COUNT
} fc_dtype;

/* numpy's names of fc_dtype, and of the kinds of pooling, in the order of their numbers; NULL past the end. */
extern const char *const fc_dtype_names[];
extern const char *const fc_pool_names[];

#include "functions.h"
#include "steps.h"

/* Where a tensor of a step lies: bases[base] + offset bytes. Constants carry their address in offset and base FC_BASE_ABSOLUTE. */
typedef struct fc_ref {
    int64_t offset;
    int32_t base;
} fc_ref;

enum { FC_BASE_ABSOLUTE = 0, FC_BASE_ARENA = 1, FC_BASE_FIRST_IO = 2 };

struct fc_team;
typedef fc_status (*fc_step_fn)(const void *params, void *const *t, const struct fc_team *team);

/* Memory that a step asks for while it computes: weights of later steps, which these would wait for. `at` NULL: no more. */
enum { FC_MAX_PREFETCH = 8 };
typedef struct fc_range {
    const char *at, *end;
} fc_range;

/* Whether this is a checked build: AddressSanitizer then sees what a step reads and writes beside its operands in the arena. */
#if defined(__SANITIZE_ADDRESS__)
#define FC_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FC_CHECKED 1
#endif
#endif
#ifndef FC_CHECKED
#define FC_CHECKED 0
#endif

typedef struct fc_step {
    fc_step_fn run;
    const void *params;        /* the step's own struct, see steps.h */
    int32_t operand_count;
    int32_t max_threads;       /* 1: one thread alone, the others wait */
    int32_t together;          /* fc_step_together: the shares wait for each other inside the step */
    fc_range prefetch[FC_MAX_PREFETCH];
    fc_ref operands[FC_MAX_OPERANDS];   /* output first, then inputs, then weights; offset -1 with base 0: absent (NULL) */
#if FC_CHECKED
    int64_t guard_begin[FC_MAX_OPERANDS], guard_end[FC_MAX_OPERANDS];   /* bytes of the arena that operands are views of; equal: none */
#endif
} fc_step;

typedef struct fc_program {
    const fc_step *steps;
    int64_t step_count;
    size_t scratch_bytes;      /* per thread, a multiple of FC_ALIGN */
#if FC_CHECKED
    size_t arena_bytes;
#endif
} fc_program;

/* FC_CHECKED of the library. Where it is 0 the others do nothing. */
int fc_checked(void);

/* Operand k of a step is a view of these bytes of the arena; one thread alone poisons all others while it runs the step. */
void fc_guard_operand(fc_step *step, int k, int64_t begin, int64_t end);

/* So large is the arena; without it nothing is guarded. */
void fc_guard_arena(fc_program *program, size_t arena_bytes);

/* Whether the threads of a step meet inside it (fc_team_wait), so that each share needs a thread of its own. */
int fc_step_together(fc_step_fn run, const void *params, int threads);

/* Bytes that a run with so many threads needs to keep track of who did what. */
size_t fc_program_state_bytes(const fc_program *program, int threads);

/* Run all steps with at most `threads` threads: no more than this run's share of the CPUs. bases[0] is ignored, bases[1] the arena, the rest inputs and outputs.
 * scratch: threads * scratch_bytes, FC_ALIGN aligned. state: fc_program_state_bytes, aligned likewise.
 * seconds: NULL, or step_count doubles to fill with each step's time, -1 from the one on that failed.
 * spans: NULL, or 2 * step_count doubles a thread: when it began a step and when it was done with its shares, by CLOCK_MONOTONIC; what
 *        belongs to threads that the run had no CPU for stays as it is.
 * until: NULL, or seconds of CLOCK_MONOTONIC after which no step begins and FC_ERR_TIME is returned, but for those whose threads meet in them;
 *        0: never. Another thread may change it meanwhile: each step looks.
 * Safe to call from several threads at once with different arenas, and in a forked child. */
fc_status fc_program_run(const fc_program *program, void *const *bases, void *scratch, void *state, int threads, double *seconds,
                         double *spans, const volatile double *until);

/* One row per step kind: name, function, scratch, and the fields of its params in order, for the marshalling in _native.pyx. */
typedef struct fc_field {
    const char *name;
    char kind;                 /* 'i' int64_t, 'f' float, 'v' int64_t[FC_MAX_DIMS]; aligned as C aligns them in a struct */
} fc_field;

typedef struct fc_step_kind {
    const char *name;
    fc_step_fn run;
    size_t (*scratch_bytes)(const void *params, int threads);   /* per thread */
    size_t params_bytes;
    const fc_field *fields;    /* ends with name == NULL */
} fc_step_kind;

extern const fc_step_kind fc_step_kinds[];   /* ends with name == NULL */

/* Instruction sets. fc_set_isa switches the kernels that programs and packing made from now on will use; it is not meant to be
 * called while programs run. Returns 0 when the CPU or the build lacks it. */
int fc_isa_available(fc_isa isa);
int fc_set_isa(fc_isa isa);
fc_isa fc_current_isa(void);
const char *fc_isa_name(fc_isa isa);
int fc_isa_is_sublevel(fc_isa isa);   /* an instruction set with further instructions that some kernels use */
int fc_built_with_openmp(void);

/* Mapped files. One that is cut short would end the process that reads it (SIGBUS). Between begin and end, which nest, in any thread, what is
 * gone reads as zeros, and fc_mapped_file_cut says that it was. The caller holds the GIL. fc_mapped_file_new: NULL without memory. */
typedef struct fc_mapped_file fc_mapped_file;
fc_mapped_file *fc_mapped_file_new(const void *begin, size_t bytes);
void fc_mapped_file_free(fc_mapped_file *file);
int fc_mapped_file_cut(const fc_mapped_file *file);
void fc_begin_reading_files(void);
void fc_end_reading_files(void);

/* CPUs that the calling thread may run on: its affinity mask, at most the quota. fc_set_cpus(n) claims n instead, for tests; 0: as it is. */
int fc_cpus(void);
void fc_set_cpus(int cpus);
void fc_set_cpu_quota(int cpus);   /* 0: none */

typedef struct fc_cpu {
    char vendor[16];
    char model[64];
    int family, model_number, stepping;
    int avx2, fma, f16c, avx512f, avx512dq, avx512bw, avx512vl, avx512_vnni, avx512_vbmi, avx_vnni, avx512_bf16, avx512_fp16, amx_int8, amx_bf16;
    int64_t l1d_bytes, l2_bytes, l3_bytes;      /* 0: the processor does not say */
} fc_cpu;
const fc_cpu *fc_cpu_info(void);
int fc_may_use_tiles(void);        /* whether the system lets this process use AMX's registers: asks for it, once */
/* So many multiplications of 32 bits, each of the result before it: three cycles each on every x86-64 processor since Nehalem and Zen. The
 * clock is measured by them. */
int64_t fc_multiply_chain(int64_t count);

/* Names of every microkernel an instruction set has, in the grammar of README.md; NULL past the end. */
const char *fc_kernel_name(fc_isa isa, size_t index);

/* Planning facts of the current instruction set. */
int64_t fc_vector_length(void);               /* floats in a vector */
int64_t fc_gemm_max_mr(int64_t nv);           /* tallest tile of nv vectors, 0: no such tile */
int64_t fc_gemm_max_nv(void);                /* vectors of the widest tile of any instruction set */
int fc_winograd_whole_blocks(int64_t blocks, int64_t threads);   /* each thread computes whole blocks, else they share each block */
int64_t fc_qgemm_max_mr(int64_t nv);          /* the same for 8-bit values */
int64_t fc_qwide_max_mr(int64_t nv);          /* of tiles of 8-bit values that are widened to 16 bits first */
int64_t fc_qgemm_turns(int64_t nv);           /* rows of the tiles of 8-bit values that take turns, 0 where this width has none */
int64_t fc_pgemm_max_mr(int64_t nv);          /* and for bfloat16; 0 where there are no kernels for it */
int fc_pgemm_halves(void);                   /* whether half a vector of columns has tiles of its own */
int fc_pgemm_odd_runs(void);                 /* whether these take runs of k of an odd length */
int64_t fc_gemm_pair(int64_t ow);             /* vectors of the tile of two rows of ow pixels, 0: no such tile */

/* Packing, once per model. packed is FC_ALIGN aligned, w at any address.
 * gemm B: w is [n][k] with row stride ldw (transposed = 0) or [k][n] with row stride ldw (transposed = 1);
 * packed: panels of nv vectors over n, each [k][width] with the last panel's width rounded up to whole vectors, zero filled. */
size_t fc_gemm_packed_floats(int64_t n, int64_t k, int64_t nv);
void fc_gemm_pack_b(float *packed, const void *w, int64_t n, int64_t k, int64_t ldw, int transposed, int64_t nv);
/* Convolution: w is [oc][ic][taps]; packed as gemm B with n = oc and k = (tap, ic). */
void fc_conv_pack(float *packed, const void *w, int64_t oc, int64_t ic, int64_t taps, int64_t nv);
/* Convolution of 8-bit values, a group: w is [oc][ic][kh][kw]; packed: panels of nv vectors of oc, of words of k: a word is four values of each
 * channel, [word][channel][4]. k has runs, a kernel row each with whole_rows (columns that are not dilated), else the ic values of a tap, each
 * rounded up to whole words with weights of 0. */
size_t fc_qconv_packed_bytes(int64_t oc, int64_t ic, int64_t kh, int64_t kw, int whole_rows);
void fc_qconv_pack(int8_t *packed, const void *w, int64_t oc, int64_t ic, int64_t kh, int64_t kw, int64_t nv, int whole_rows);
/* Depthwise convolution of 8-bit values: w is [c][kh][kw]; packed by groups of channels, in the order that its kernel has (kernels/bytes.h). */
size_t fc_qdepthwise_packed_bytes(int64_t c, int64_t kh, int64_t kw, int64_t sh, int64_t dh);
void fc_qdepthwise_pack(int8_t *packed, const void *w, int64_t c, int64_t kh, int64_t kw, int64_t sh, int64_t dh);
/* Winograd F(m, kh) by F(m, kw), F(1, 1) along an axis of extent 1, or with a stride s of 2: w is [oc][ic][kh][kw]; packed: a GEMM B matrix
 * [ic][oc] a position, each packed as above. */
size_t fc_winograd_packed_floats(int64_t m, int64_t kh, int64_t kw, int64_t s, int64_t oc, int64_t ic, int64_t nv);
void fc_winograd_pack(float *packed, const void *w, int64_t m, int64_t kh, int64_t kw, int64_t s, int64_t oc, int64_t ic, int64_t nv);
/* Whether there are transforms for it. */
int fc_winograd_covers(int64_t m, int64_t kh, int64_t kw, int64_t s);

#endif
