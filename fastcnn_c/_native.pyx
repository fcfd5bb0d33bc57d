"""The one Cython module: programs built from keyword arguments, run with one C call, and the packing of weights."""
cimport numpy as cnp
from libc.stdint cimport int64_t, intptr_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strlen
from posix.stdlib cimport posix_memalign

from math import prod as _prod

import numpy as np

cnp.import_array()

include "wire.pxi"
include "packing.pxi"
include "records.pxi"
include "nodes.pxi"
include "arena.pxi"
include "workspaces.pxi"

BASE_ABSOLUTE = FC_BASE_ABSOLUTE
BASE_ARENA = FC_BASE_ARENA
BASE_FIRST_IO = FC_BASE_FIRST_IO
MAX_DIMS = FC_MAX_DIMS
MAX_OPERANDS = FC_MAX_OPERANDS
MAX_PREFETCH = FC_MAX_PREFETCH
MAX_THREADS = FC_MAX_THREADS
ALIGN = FC_ALIGN
CHECKED = bool(fc_checked())
BUILD = FC_BUILD.decode()
COMPILER = FC_COMPILER.decode()
FLAGS = FC_FLAGS.decode()
HAS_OPENMP = bool(fc_built_with_openmp())

STATUS = {FC_ERR_INDEX: "an index points outside the data", FC_ERR_MEMORY: "out of memory"}
OUT_OF_TIME = FC_ERR_TIME


cdef extern from *:
    const char *FC_COMPILER "__VERSION__"
    const char *FC_FLAGS                # by setup.py: those of all C files, and of each instruction set's
    const char *FC_BUILD                # by setup.py: a digest of the sources


cdef dict _read_kinds():
    """Step kind -> (index, [(field, kind, offset)]), offsets by C's rules of alignment."""
    kinds = {}
    cdef Py_ssize_t k = 0, f, offset
    while fc_step_kinds[k].name != NULL:
        fields, offset, f = {}, 0, 0
        while fc_step_kinds[k].fields[f].name != NULL:
            kind = chr(fc_step_kinds[k].fields[f].kind)
            size, align = {"i": (8, 8), "f": (4, 4), "v": (8 * MAX_DIMS, 8)}[kind]
            offset = (offset + align - 1) // align * align
            fields[fc_step_kinds[k].fields[f].name.decode()] = (kind, offset)
            offset += size
            f += 1
        assert <size_t>((offset + 7) // 8 * 8) == fc_step_kinds[k].params_bytes
        kinds[fc_step_kinds[k].name.decode()] = (k, fields)
        k += 1
    return kinds


cdef dict _KINDS = _read_kinds()


cdef dict _number(const char *const *names):
    numbers = {}
    cdef Py_ssize_t k = 0
    while names[k] != NULL:
        numbers[names[k].decode()] = k
        k += 1
    return numbers


DTYPES = _number(fc_dtype_names)
POOLS = _number(fc_pool_names)
GEMM_MAX_NV = fc_gemm_max_nv()
UNARY = _number(fc_unary_names)
BINARY = _number(fc_binary_names)
TYPED_BINARY = _number(fc_typed_binary_names)
TYPED_UNARY = _number(fc_typed_unary_names)
REDUCE = _number(fc_reduce_names)


def step_fields():
    """Step kind -> names of its parameters, in order."""
    return {kind: tuple(fields) for kind, (_, fields) in _KINDS.items()}


cdef class Program:
    """An array of steps, ready to run, immutable; keeps the constants it points at alive.

    steps       list of (kind, operands, max_threads, fields) or (..., prefetch); operands: (base, byte offset), in a checked build with begin
                and end of the buffer in the arena as well, an array (constant), or None (absent); prefetch: (array, begin, end), bytes of
                constants to be asked for meanwhile, at most MAX_PREFETCH
    """
    cdef fc_program program
    cdef fc_step *steps
    cdef readonly list kinds
    cdef list keep
    cdef readonly size_t arena_bytes
    cdef readonly int threads
    cdef readonly int io_count

    def __cinit__(self, list steps, size_t arena_bytes, int threads, int io_count):
        self.steps = <fc_step *>calloc(max(1, len(steps)), sizeof(fc_step))
        if self.steps == NULL:
            raise MemoryError()
        self.keep, self.kinds = [], []
        self.program.steps = self.steps
        self.arena_bytes = (arena_bytes + FC_ALIGN - 1) // FC_ALIGN * FC_ALIGN
        self.threads, self.io_count = threads if HAS_OPENMP else 1, io_count
        if CHECKED and [operand for step in steps for operand in step[1] if isinstance(operand, tuple) and len(operand) > 2]:
            fc_guard_arena(&self.program, self.arena_bytes)
        for step in steps:
            self._add(step[0], step[1], step[2], step[3])
            self._prefetch(step[4] if len(step) > 4 else ())

    def __dealloc__(self):
        if self.steps != NULL:
            for k in range(self.program.step_count):
                free(<void *>self.steps[k].params)
            free(self.steps)

    cdef int _add(self, str kind, tuple operands, int max_threads, dict fields) except -1:
        index, layout = _KINDS[kind]
        cdef const fc_step_kind *row = &fc_step_kinds[<Py_ssize_t>index]
        cdef fc_step *step = &self.steps[self.program.step_count]
        cdef char *params = <char *>calloc(1, row.params_bytes)
        if params == NULL:
            raise MemoryError()
        step.params = params
        self.program.step_count += 1
        step.run, step.max_threads, step.operand_count = row.run, max_threads, len(operands)
        if len(operands) > FC_MAX_OPERANDS:
            raise ValueError(f"{kind}: {len(operands)} operands")
        self._fill(kind, params, layout, fields)
        self._bind(step, operands)
        self.kinds.append(kind)
        step.together = fc_step_together(<fc_step_fn>row.run, params, self.threads)
        cdef size_t scratch = row.scratch_bytes(params, self.threads)
        self.program.scratch_bytes = max(self.program.scratch_bytes, (scratch + FC_ALIGN - 1) // FC_ALIGN * FC_ALIGN)
        return 0

    cdef int _fill(self, str kind, char *params, dict layout, dict fields) except -1:
        cdef Py_ssize_t offset, d
        if fields.keys() != layout.keys():
            raise TypeError(f"{kind}: missing {sorted(layout.keys() - fields.keys())}, unknown {sorted(fields.keys() - layout.keys())}")
        for name, (field_kind, offset) in layout.items():
            value = fields[name]
            if field_kind == "i":
                (<int64_t *>(params + offset))[0] = value
            elif field_kind == "f":
                (<float *>(params + offset))[0] = value
            else:
                if len(value) > FC_MAX_DIMS:
                    raise ValueError(f"{kind}: {name} has {len(value)} dimensions, at most {FC_MAX_DIMS} are possible")
                for d, extent in enumerate(value):
                    (<int64_t *>(params + offset))[d] = extent
        return 0

    cdef int _bind(self, fc_step *step, tuple operands) except -1:
        cdef Py_ssize_t k
        for k, operand in enumerate(operands):
            if operand is None:
                step.operands[k].base, step.operands[k].offset = FC_BASE_ABSOLUTE, -1
            elif isinstance(operand, tuple):
                step.operands[k].base, step.operands[k].offset = operand[0], operand[1]
                if len(operand) > 2:
                    fc_guard_operand(step, <int>k, operand[2], operand[3])
            else:
                self.keep.append(operand)
                step.operands[k].base = FC_BASE_ABSOLUTE
                step.operands[k].offset = <intptr_t>cnp.PyArray_DATA(<cnp.ndarray?>operand)
        return 0

    cdef int _prefetch(self, prefetch) except -1:
        cdef fc_step *step = &self.steps[self.program.step_count - 1]
        cdef Py_ssize_t k, begin, end
        cdef const char *data
        if len(prefetch) > FC_MAX_PREFETCH:
            raise ValueError(f"{len(prefetch)} ranges to ask for, at most {FC_MAX_PREFETCH} are possible")
        for k, (array, begin, end) in enumerate(prefetch):
            if not 0 <= begin <= end <= array.nbytes:
                raise ValueError(f"bytes {begin} to {end} of {array.nbytes}")
            self.keep.append(array)
            data = <const char *>cnp.PyArray_DATA(<cnp.ndarray?>array)
            step.prefetch[k].at, step.prefetch[k].end = data + begin, data + end
        return 0

    @property
    def scratch_bytes(self):
        """Scratch of all threads together."""
        return self.program.scratch_bytes * self.threads

    def run(self, Workspace workspace not None, list arrays not None, double[::1] seconds=None,
            Deadline until=None, double[:, :, ::1] spans=None):
        """Run on `arrays`, the inputs and outputs in the order of their bases; returns 0 or a status (see STATUS).

        seconds  of each step, to be filled in
        spans    (threads, steps, 2): when each thread began a step and when its own part of that was done, to be filled in
        until    no step begins after it and OUT_OF_TIME is returned
        """
        cdef void *bases[64]
        cdef void **table = bases
        cdef Py_ssize_t k, count = len(arrays)
        cdef int status
        cdef double *times = NULL
        cdef double *begins = NULL
        cdef const volatile double *at = &until.at if until is not None else NULL
        if count != self.io_count:
            raise ValueError(f"{count} arrays for {self.io_count} bases")
        if count + FC_BASE_FIRST_IO > 64:
            table = <void **>calloc(count + FC_BASE_FIRST_IO, sizeof(void *))
            if table == NULL:
                raise MemoryError()
        if seconds is not None:
            if seconds.shape[0] < self.program.step_count:
                raise ValueError("seconds is too short")
            if self.program.step_count:
                times = &seconds[0]
        if spans is not None:
            if spans.shape[0] < self.threads or spans.shape[1] != self.program.step_count or spans.shape[2] != 2:
                raise ValueError("spans has another shape")
            if self.program.step_count:
                begins = &spans[0, 0, 0]
        try:
            for k in range(count):
                table[FC_BASE_FIRST_IO + k] = cnp.PyArray_DATA(<cnp.ndarray?>arrays[k])
            return self._walk(workspace, table, times, begins, at)
        finally:
            if table != bases:
                free(table)

    cdef int _walk(self, Workspace workspace, void **table, double *times, double *begins, const volatile double *at) except -1:
        """One run on the arrays in the table, which lacks the arena alone; returns the status."""
        cdef size_t scratch = self.program.scratch_bytes * self.threads
        cdef fc_status status
        workspace.reserve(self.arena_bytes + scratch + fc_program_state_bytes(&self.program, self.threads))
        table[FC_BASE_ARENA] = workspace.memory
        with nogil:
            status = fc_program_run(&self.program, table, workspace.memory + self.arena_bytes,
                                    workspace.memory + self.arena_bytes + scratch, self.threads, times, begins, at)
        return status


include "shortcut.pxi"


def isas():
    """Names of the instruction sets that this CPU and this build have, lowest first, without sub-levels."""
    return [name for name in levels() if not fc_isa_is_sublevel(_isa_of(name))]


def levels():
    """The same with their sub-levels: each is the instruction set before it with better kernels in some places."""
    return [fc_isa_name(<fc_isa>k).decode() for k in range(FC_ISA_COUNT) if fc_isa_available(<fc_isa>k)]


cdef fc_isa _isa_of(str name):
    for k in range(FC_ISA_COUNT):
        if fc_isa_name(<fc_isa>k).decode() == name:
            return <fc_isa>k
    return FC_ISA_COUNT


def set_isa(str name):
    """Use this instruction set's kernels from now on; programs made before must not run any more. ValueError when it is missing."""
    for k in range(FC_ISA_COUNT):
        if fc_isa_name(<fc_isa>k).decode() == name and fc_set_isa(<fc_isa>k):
            return
    raise ValueError(f"instruction set {name!r} is not available, only {', '.join(levels())}")


def current_isa():
    return fc_isa_name(fc_current_isa()).decode()


def kernels(str isa):
    """Names of every microkernel of an instruction set."""
    names = []
    for k in range(FC_ISA_COUNT):
        if fc_isa_name(<fc_isa>k).decode() == isa:
            while fc_kernel_name(<fc_isa>k, len(names)) != NULL:
                names.append(fc_kernel_name(<fc_isa>k, len(names)).decode())
    return names


def cpu():
    """What cpuid says: a dict of vendor, model, its numbers, feature flags and cache sizes in bytes, 0 where it does not say."""
    cdef const fc_cpu *c = fc_cpu_info()
    return {
        "vendor": c.vendor[:strlen(c.vendor)].decode("ascii", "replace"),
        "model": c.model[:strlen(c.model)].decode("ascii", "replace").strip(),
        "family": c.family, "model_number": c.model_number, "stepping": c.stepping,
        "features": [name for name, have in (
            ("avx2", c.avx2), ("fma", c.fma), ("f16c", c.f16c), ("avx512f", c.avx512f), ("avx512dq", c.avx512dq),
            ("avx512bw", c.avx512bw), ("avx512vl", c.avx512vl), ("avx512_vnni", c.avx512_vnni), ("avx512_vbmi", c.avx512_vbmi), ("avx_vnni", c.avx_vnni),
            ("avx512_bf16", c.avx512_bf16), ("avx512_fp16", c.avx512_fp16), ("amx_int8", c.amx_int8), ("amx_bf16", c.amx_bf16)) if have],
        "l1d_bytes": c.l1d_bytes, "l2_bytes": c.l2_bytes, "l3_bytes": c.l3_bytes,
    }


def cpus():
    """CPUs that the calling thread may run on: its affinity mask, at most set_cpu_quota's."""
    return fc_cpus()


def set_cpus(int count):
    """Claim so many CPUs, 0: those there are. A run starts no more threads than its share of them: tests of teams set what they need."""
    fc_set_cpus(max(0, count))


def next_share(int threads):
    """Threads that a run which can use `threads` would get if it began now: its share of the CPUs among the runs under way."""
    return fc_next_share(threads)


def set_cpu_quota(int count):
    """CPUs that the process may use at most, 0: no quota."""
    fc_set_cpu_quota(max(0, count))


def multiply_chain(int64_t count):
    """3 * 5^count modulo 2^32, by `count` multiplications one after the other, three cycles each."""
    cdef int64_t product
    with nogil:
        product = fc_multiply_chain(count)
    return product


cdef class MappedFile:
    """Bytes of a mapped file, to be dropped before they are unmapped: see begin_reading_files."""
    cdef fc_mapped_file *file

    def __cinit__(self, const unsigned char[::1] data):
        self.file = fc_mapped_file_new(&data[0], data.shape[0])
        if self.file == NULL:
            raise MemoryError("no memory to watch a mapped file")

    def __dealloc__(self):
        fc_mapped_file_free(self.file)

    @property
    def cut(self):
        """Whether part of the file was gone when somebody read it, and read as zeros."""
        return bool(fc_mapped_file_cut(self.file))


def begin_reading_files():
    """Until end_reading_files a MappedFile that is cut short reads as zeros instead of ending the process. Nests, in any thread."""
    fc_begin_reading_files()


def end_reading_files():
    """The last of them puts SIGBUS back to what it did before."""
    fc_end_reading_files()


def vector_length():
    """Floats in a vector of the current instruction set."""
    return fc_vector_length()


def gemm_pair(int64_t ow):
    """How many vectors wide the register tile is that takes two rows of ow pixels at once; 0: there is none."""
    return fc_gemm_pair(ow)


def qgemm_max_mr(int64_t nv):
    """Tallest register tile of 8-bit values nv vectors wide; 0 when there is none."""
    return fc_qgemm_max_mr(nv)


def pgemm_max_mr(int64_t nv):
    """Tallest register tile of bfloat16 numbers nv vectors wide; 0 when there is none, or no kernels for them at this instruction set."""
    return fc_pgemm_max_mr(nv)


def winograd_whole_blocks(int64_t blocks, int64_t threads):
    """Whether each thread of a Winograd step computes whole blocks; else the threads share each block."""
    return bool(fc_winograd_whole_blocks(blocks, threads))


def gemm_max_mr(int64_t nv):
    """Tallest register tile of nv vectors of the current instruction set; 0 when there is none."""
    return fc_gemm_max_mr(nv)
