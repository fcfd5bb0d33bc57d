# The border, mirrored from fastcnn.h.
from libc.stdint cimport int32_t, int64_t

cdef extern from "fastcnn.h" nogil:
    int FC_MAX_DIMS, FC_MAX_OPERANDS, FC_MAX_PREFETCH, FC_ALIGN, FC_MAX_THREADS
    int FC_BASE_ABSOLUTE, FC_BASE_ARENA, FC_BASE_FIRST_IO

    ctypedef enum fc_status:
        FC_OK, FC_ERR_INDEX, FC_ERR_MEMORY, FC_ERR_TIME

    ctypedef enum fc_isa:
        FC_ISA_COUNT

    ctypedef int (*fc_step_fn)(const void *, void *const *, const void *) noexcept nogil

    ctypedef struct fc_ref:
        int64_t offset
        int32_t base

    ctypedef struct fc_range:
        const char *at
        const char *end

    ctypedef struct fc_step:
        void *run
        const void *params
        int32_t operand_count
        int32_t max_threads
        int32_t together
        fc_range prefetch[8]
        fc_ref operands[10]

    ctypedef struct fc_program:
        const fc_step *steps
        int64_t step_count
        size_t scratch_bytes

    ctypedef struct fc_field:
        const char *name
        char kind

    ctypedef struct fc_step_kind:
        const char *name
        void *run
        size_t (*scratch_bytes)(const void *, int) noexcept nogil
        size_t params_bytes
        const fc_field *fields

    ctypedef struct fc_cpu:
        char vendor[16]
        char model[64]
        int family, model_number, stepping
        int avx2, fma, f16c, avx512f, avx512dq, avx512bw, avx512vl, avx512_vnni, avx512_vbmi, avx_vnni, avx512_bf16, avx512_fp16, amx_int8, amx_bf16
        int64_t l1d_bytes, l2_bytes, l3_bytes

    ctypedef struct fc_mapped_file:
        pass

    const fc_step_kind fc_step_kinds[]
    const char *const fc_unary_names[]
    const char *const fc_dtype_names[]
    const char *const fc_pool_names[]
    const char *const fc_binary_names[]
    const char *const fc_typed_binary_names[]
    const char *const fc_typed_unary_names[]
    const char *const fc_reduce_names[]

    int fc_checked() noexcept
    void fc_guard_operand(fc_step *, int, int64_t, int64_t) noexcept
    void fc_guard_arena(fc_program *, size_t) noexcept
    fc_status fc_program_run(const fc_program *, void *const *, void *, void *, int, double *, double *, const volatile double *) noexcept
    size_t fc_program_state_bytes(const fc_program *, int) noexcept
    int fc_step_together(fc_step_fn, const void *, int) noexcept
    int fc_isa_available(fc_isa) noexcept
    int fc_isa_is_sublevel(fc_isa) noexcept
    int64_t fc_qgemm_max_mr(int64_t) noexcept
    int64_t fc_qgemm_turns(int64_t) noexcept
    int64_t fc_qwide_max_mr(int64_t) noexcept
    int64_t fc_pgemm_max_mr(int64_t) noexcept
    int fc_pgemm_odd_runs() noexcept
    int fc_pgemm_halves() noexcept
    int fc_set_isa(fc_isa) noexcept
    fc_isa fc_current_isa() noexcept
    const char *fc_isa_name(fc_isa) noexcept
    int fc_built_with_openmp() noexcept
    fc_mapped_file *fc_mapped_file_new(const void *, size_t) noexcept
    void fc_mapped_file_free(fc_mapped_file *) noexcept
    int fc_mapped_file_cut(const fc_mapped_file *) noexcept
    void fc_begin_reading_files() noexcept
    void fc_end_reading_files() noexcept
    int fc_cpus() noexcept
    void fc_set_cpus(int) noexcept
    void fc_set_cpu_quota(int) noexcept
    const fc_cpu *fc_cpu_info() noexcept
    int64_t fc_multiply_chain(int64_t) noexcept nogil
    const char *fc_kernel_name(fc_isa, size_t) noexcept
    int64_t fc_vector_length() noexcept
    int64_t fc_gemm_max_mr(int64_t) noexcept
    int64_t fc_gemm_pair(int64_t) noexcept
    int64_t fc_gemm_max_nv() noexcept
    int fc_winograd_whole_blocks(int64_t, int64_t) noexcept
    size_t fc_gemm_packed_floats(int64_t, int64_t, int64_t) noexcept
    void fc_gemm_pack_b(float *, const void *, int64_t, int64_t, int64_t, int, int64_t) noexcept
    void fc_conv_pack(float *, const void *, int64_t, int64_t, int64_t, int64_t) noexcept
    size_t fc_qconv_packed_bytes(int64_t, int64_t, int64_t, int64_t, int) noexcept
    void fc_qconv_pack(signed char *, const void *, int64_t, int64_t, int64_t, int64_t, int64_t, int) noexcept
    size_t fc_qdepthwise_packed_bytes(int64_t, int64_t, int64_t, int64_t, int64_t) noexcept
    void fc_qdepthwise_pack(signed char *, const void *, int64_t, int64_t, int64_t, int64_t, int64_t) noexcept
    size_t fc_winograd_packed_floats(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) noexcept
    void fc_winograd_pack(float *, const void *, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) noexcept
    int fc_winograd_covers(int64_t, int64_t, int64_t, int64_t) noexcept


cdef extern from "threads.h" nogil:
    int fc_next_share(int) noexcept
