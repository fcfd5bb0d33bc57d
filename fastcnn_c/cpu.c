/* What the processor is and can: cpuid, once. */
#include "fastcnn.h"

#include <string.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static void cpuid(unsigned leaf, unsigned sub, unsigned r[4])
{
    if (!__get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]))
        memset(r, 0, 4 * sizeof *r);
}

static uint64_t enabled_state(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

static int bit(unsigned word, int k) { return (int)(word >> k & 1u); }

/* Deterministic cache parameters: leaf 4 on Intel, 0x8000001d on AMD, the same layout. */
static void read_caches(fc_cpu *cpu, unsigned leaf)
{
    for (unsigned sub = 0; sub < 16; sub++) {
        unsigned r[4];
        cpuid(leaf, sub, r);
        const unsigned type = r[0] & 31u, level = r[0] >> 5 & 7u;
        if (type == 0)
            return;
        const int64_t bytes = (int64_t)((r[1] >> 22) + 1) * ((r[1] >> 12 & 1023u) + 1) * ((r[1] & 4095u) + 1) * ((int64_t)r[2] + 1);
        if (level == 1 && type == 1)
            cpu->l1d_bytes = bytes;
        else if (level == 2)
            cpu->l2_bytes = bytes;
        else if (level == 3)
            cpu->l3_bytes = bytes;
    }
}

static void read_names(fc_cpu *cpu)
{
    unsigned r[4];
    cpuid(0, 0, r);
    memcpy(cpu->vendor, &r[1], 4);
    memcpy(cpu->vendor + 4, &r[3], 4);
    memcpy(cpu->vendor + 8, &r[2], 4);
    cpuid(0x80000000u, 0, r);
    if (r[0] < 0x80000004u)
        return;
    for (unsigned k = 0; k < 3; k++) {
        cpuid(0x80000002u + k, 0, r);
        memcpy(cpu->model + 16 * k, r, 16);
    }
}

/* Leaf 1: the extended family counts where the family is 15, the extended model there and where the family is 6. */
static void read_numbers(fc_cpu *cpu)
{
    unsigned r[4];
    cpuid(1, 0, r);
    const unsigned family = r[0] >> 8 & 15u, model = r[0] >> 4 & 15u;
    cpu->family = (int)(family == 15 ? family + (r[0] >> 20 & 255u) : family);
    cpu->model_number = (int)(family == 15 || family == 6 ? model | (r[0] >> 16 & 15u) << 4 : model);
    cpu->stepping = (int)(r[0] & 15u);
}

static void read_features(fc_cpu *cpu)
{
    unsigned one[4], seven[4], seven1[4];
    cpuid(1, 0, one);
    cpuid(7, 0, seven);
    cpuid(7, 1, seven1);
    const uint64_t state = bit(one[2], 27) ? enabled_state() : 0;
    const int ymm = (state & 0x06) == 0x06, zmm = (state & 0xe6) == 0xe6, tiles = (state & 0x60000) == 0x60000;
    cpu->fma = ymm && bit(one[2], 12);
    cpu->f16c = ymm && bit(one[2], 29);
    cpu->avx2 = ymm && bit(seven[1], 5);
    cpu->avx512f = zmm && bit(seven[1], 16);
    cpu->avx512dq = zmm && bit(seven[1], 17);
    cpu->avx512bw = zmm && bit(seven[1], 30);
    cpu->avx512vl = zmm && bit(seven[1], 31);
    cpu->avx512_vnni = zmm && bit(seven[2], 11);
    cpu->avx512_vbmi = zmm && bit(seven[2], 1);
    cpu->avx512_fp16 = zmm && bit(seven[3], 23);
    cpu->avx_vnni = ymm && bit(seven1[0], 4);
    cpu->avx512_bf16 = zmm && bit(seven1[0], 5);
    cpu->amx_bf16 = tiles && bit(seven[3], 22);
    cpu->amx_int8 = tiles && bit(seven[3], 25);
}

static void read_cpu(fc_cpu *cpu)
{
    read_names(cpu);
    read_numbers(cpu);
    read_features(cpu);
    read_caches(cpu, 4);
    if (cpu->l1d_bytes == 0)
        read_caches(cpu, 0x8000001du);
}
#else
static void read_cpu(fc_cpu *cpu) { strcpy(cpu->vendor, "unknown"); }
#endif

static fc_cpu the_cpu;

__attribute__((constructor)) static void read_cpu_at_load(void) { read_cpu(&the_cpu); }

const fc_cpu *fc_cpu_info(void) { return &the_cpu; }

/* Linux saves AMX's 8 KB of registers for processes alone that asked for it (Documentation/arch/x86/xstate.rst). */
int fc_may_use_tiles(void)
{
#if defined(__linux__) && defined(__x86_64__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    static int asked, may;
    if (!__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&may, syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0, __ATOMIC_RELAXED);
        __atomic_store_n(&asked, 1, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&may, __ATOMIC_RELAXED);
#else
    return 0;
#endif
}

int64_t fc_multiply_chain(int64_t count)
{
    uint32_t x = 3, by = 5;
    for (int64_t k = 0; k < count; k++) {
        x *= by;
        __asm__ volatile("" : "+r"(x), "+r"(by));      /* no constant, no shift, no shorter chain */
    }
    return x;
}
