/* Sums of eight lanes, and bytes of them: what dot_avx2.h and dot_avx2_vnni.h share. */
typedef __m256i v_i32;

/* The first n <= 8 bytes as a number, by two loads that overlap: a copy of n bytes is a call, and the wide load after it waits for narrow stores. */
static inline uint64_t v_few_bytes(const uint8_t *p, size_t n)
{
    uint32_t low = 0, high = 0;
    uint16_t pair = 0, last = 0;
    if (n >= 8) {
        uint64_t all;
        memcpy(&all, p, 8);
        return all;
    }
    if (n >= 4) {
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        return low | (uint64_t)high << (8 * (n - 4));
    }
    if (n >= 2) {
        memcpy(&pair, p, 2);
        memcpy(&last, p + n - 2, 2);
        return pair | (uint64_t)last << (8 * (n - 2));
    }
    return n ? *p : 0;
}
static inline void v_store_few_bytes(uint8_t *p, uint64_t x, size_t n)
{
    const uint32_t low = (uint32_t)x, high = n >= 4 ? (uint32_t)(x >> (8 * (n - 4))) : 0;
    if (n >= 8)
        memcpy(p, &x, 8);
    else if (n >= 4) {
        memcpy(p, &low, 4);
        memcpy(p + n - 4, &high, 4);
    } else
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)(x >> (8 * i));
}
/* The same of n < 32 bytes. */
static inline __m256i v_part_of_bytes(const uint8_t *p, size_t n)
{
    uint64_t part[4] = {0};
    for (size_t i = 0; i < 4 && 8 * i < n; i++)
        part[i] = v_few_bytes(p + 8 * i, n - 8 * i);
    return _mm256_set_epi64x((long long)part[3], (long long)part[2], (long long)part[1], (long long)part[0]);
}
static inline void v_store_part_of_bytes(uint8_t *p, __m256i b, size_t n)
{
    const uint64_t part[4] = {(uint64_t)_mm256_extract_epi64(b, 0), (uint64_t)_mm256_extract_epi64(b, 1), (uint64_t)_mm256_extract_epi64(b, 2),
                              (uint64_t)_mm256_extract_epi64(b, 3)};
    for (size_t i = 0; i < 4 && 8 * i < n; i++)
        v_store_few_bytes(p + 8 * i, part[i], n - 8 * i);
}

static inline v_i32 v_load_sums(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void v_store_sums(int32_t *p, v_i32 s) { _mm256_storeu_si256((__m256i *)p, s); }
static inline v_i32 v_add_sums(v_i32 a, v_i32 b) { return _mm256_add_epi32(a, b); }
static inline v_i32 v_load_sums_tail(const int32_t *p, size_t n) { return _mm256_maskload_epi32(p, v_lanes_below(n)); }
static inline void v_store_sums_tail(int32_t *p, v_i32 s, size_t n)     /* as v_store_tail */
{
    if (n >= V_LEN) {
        v_store_sums(p, s);
        return;
    }
    __m128i part = _mm256_castsi256_si128(s);
    if (n & 4) {
        _mm_storeu_si128((__m128i *)(void *)p, part);
        part = _mm256_extracti128_si256(s, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_epi64((__m128i *)(void *)p, part);
        part = _mm_unpackhi_epi64(part, part);
        p += 2;
    }
    if (n & 1)
        *p = _mm_cvtsi128_si32(part);
}
static inline v_f32 v_float_of(v_i32 s) { return _mm256_cvtepi32_ps(s); }
static inline v_i32 v_sums_set1(int32_t x) { return _mm256_set1_epi32(x); }
static inline v_i32 v_sub_sums(v_i32 a, v_i32 b) { return _mm256_sub_epi32(a, b); }
typedef v_i32 v_point;
static inline v_point v_point_of(int32_t z) { return _mm256_set1_epi32(z); }
static inline v_f32 v_less(const uint8_t *p, size_t n, v_point z)
{
    const __m128i bytes = n == V_LEN ? _mm_loadl_epi64((const __m128i *)p) : _mm_cvtsi64_si128((long long)v_few_bytes(p, n));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), z));
}
static inline v_f32 v_float_of_whole(v_i32 s) { return _mm256_sub_ps(_mm256_castsi256_ps(s), _mm256_set1_ps(0x1.8p23f)); }
static inline v_i32 v_whole(v_f32 x) { return _mm256_castps_si256(_mm256_add_ps(x, _mm256_set1_ps(0x1.8p23f))); }
static inline v_f32 v_bound(float x) { return _mm256_set1_ps(x + 0x1.8p23f); }
static inline v_i32 v_bounded(v_i32 s, v_f32 lo, v_f32 hi)
{
    return _mm256_castps_si256(_mm256_min_ps(_mm256_max_ps(_mm256_castsi256_ps(s), lo), hi));
}
static inline v_i32 v_byte_of(v_i32 s, int j) { return _mm256_and_si256(_mm256_srli_epi32(s, 8 * j), _mm256_set1_epi32(255)); }
static inline v_i32 v_saturate(v_f32 x, int32_t z)
{
    const __m256i i = _mm256_add_epi32(_mm256_max_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(-1024)), _mm256_set1_epi32(z));
    return _mm256_min_epi32(_mm256_max_epi32(i, _mm256_setzero_si256()), _mm256_set1_epi32(255));
}
static inline v_i32 v_join(v_i32 a, v_i32 b, v_i32 c, v_i32 d)
{
    return _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi32(b, 8)), _mm256_or_si256(_mm256_slli_epi32(c, 16), _mm256_slli_epi32(d, 24)));
}
static inline v_i32 v_gather_sums(const uint8_t *p, size_t d)
{
    const __m256i at = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)d));
    return _mm256_i32gather_epi32((const int *)(const void *)p, at, 1);
}
/* Two corrections by the remainder, the second of which rounds as a division does: P. Markstein, IBM Journal of R&D 34, 1990. */
static inline v_f32 v_quotient(v_f32 x, v_f32 d, v_f32 r)
{
    const v_f32 q = _mm256_mul_ps(x, r), near = _mm256_fmadd_ps(_mm256_fnmadd_ps(q, d, x), r, q);
    return _mm256_fmadd_ps(_mm256_fnmadd_ps(near, d, x), r, near);
}

typedef __m256i v_bytes;
static inline v_bytes v_load_bytes(const uint8_t *p, size_t n)
{
    if (n == 4 * V_LEN)
        return _mm256_loadu_si256((const __m256i *)p);
    return v_part_of_bytes(p, n);
}
static inline void v_store_bytes(uint8_t *p, v_bytes b, size_t n)
{
    if (n == 4 * V_LEN)
        _mm256_storeu_si256((__m256i *)p, b);
    else
        v_store_part_of_bytes(p, b, n);
}
static inline v_bytes v_pack_lanes(const v_f32 x[4], int32_t z)
{
    const __m256i zero = _mm256_set1_epi16((short)z);
    const __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
    const __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(x[2]), _mm256_cvtps_epi32(x[3]));
    return _mm256_packus_epi16(_mm256_adds_epi16(low, zero), _mm256_adds_epi16(high, zero));
}
static inline v_bytes v_pack_bytes(const v_f32 x[4], int32_t z)
{
    return _mm256_permutevar8x32_epi32(v_pack_lanes(x, z), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
typedef struct v_zero_point { __m256i of; int any; } v_zero_point;
static inline v_zero_point v_zero_of(int32_t z) { return (v_zero_point){_mm256_set1_epi16((short)z), z != 0}; }
static inline v_bytes v_pack_nearer(const v_f32 x[4], v_zero_point z)
{
    __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1]));
    __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(x[2]), _mm256_cvtps_epi32(x[3]));
    if (z.any) {
        low = _mm256_add_epi16(low, z.of);
        high = _mm256_add_epi16(high, z.of);
    }
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
static inline v_bytes v_clamp_bytes(v_bytes b, int32_t lo, int32_t hi)
{
    return _mm256_min_epu8(_mm256_max_epu8(b, _mm256_set1_epi8((char)lo)), _mm256_set1_epi8((char)hi));
}
static inline void v_store_part(uint8_t *p, v_bytes b, int k, int parts, size_t n)
{
    const __m128i half = k * 2 / parts ? _mm256_extracti128_si256(b, 1) : _mm256_castsi256_si128(b);
    const __m128i quarter = k % 2 ? _mm_unpackhi_epi64(half, half) : half;      /* of four */
    if (parts == 1)
        v_store_bytes(p, b, n);
    else if (parts == 2 && n == 2 * V_LEN)
        _mm_storeu_si128((__m128i *)p, half);
    else if (parts == 2) {
        v_store_few_bytes(p, (uint64_t)_mm_cvtsi128_si64(half), n);
        if (n > 8)
            v_store_few_bytes(p + 8, (uint64_t)_mm_extract_epi64(half, 1), n - 8);
    } else if (n == V_LEN)
        _mm_storel_epi64((__m128i *)p, quarter);
    else
        v_store_few_bytes(p, (uint64_t)_mm_cvtsi128_si64(quarter), n);
}
static inline v_bytes v_no_bytes(void) { return _mm256_setzero_si256(); }
static inline v_bytes v_max_bytes(v_bytes a, v_bytes b) { return _mm256_max_epu8(a, b); }
static inline void v_interleave(const v_bytes r[4], v_i32 q[4])
{
    const __m256i low = _mm256_unpacklo_epi8(r[0], r[1]), high = _mm256_unpackhi_epi8(r[0], r[1]);
    const __m256i low2 = _mm256_unpacklo_epi8(r[2], r[3]), high2 = _mm256_unpackhi_epi8(r[2], r[3]);
    q[0] = _mm256_unpacklo_epi16(low, low2);
    q[1] = _mm256_unpackhi_epi16(low, low2);
    q[2] = _mm256_unpacklo_epi16(high, high2);
    q[3] = _mm256_unpackhi_epi16(high, high2);
}
static inline v_bytes v_load_parts(const uint8_t *p, size_t d, int parts, size_t n)
{
    if (parts == 1)
        return v_load_bytes(p, n);
    if (parts == 4)
        return _mm256_set_epi64x((long long)v_few_bytes(p + 3 * d, n), (long long)v_few_bytes(p + 2 * d, n), (long long)v_few_bytes(p + d, n),
                                 (long long)v_few_bytes(p, n));
    if (n == 2 * V_LEN)
        return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(p + d)), _mm_loadu_si128((const __m128i *)p));
    const uint64_t low = n > 8 ? v_few_bytes(p + 8, n - 8) : 0, high = n > 8 ? v_few_bytes(p + d + 8, n - 8) : 0;
    return _mm256_set_epi64x((long long)high, (long long)v_few_bytes(p + d, n), (long long)low, (long long)v_few_bytes(p, n));
}
