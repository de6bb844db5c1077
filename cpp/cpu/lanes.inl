// As many numbers at once as a register of the target holds: for loops whose sums and maxima g++ would fold number by
// number at the end, or whose last numbers it would take one by one. Vectors wider than a register it would compare
// number by number.

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
#elif defined(__AVX2__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(kLanes * 4)));
typedef int32_t WordLanes __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));
constexpr std::make_integer_sequence<int, kLanes> kEachLane;

static inline Lanes all_lanes(float value) { return Lanes{} + value; }

// Of fewer numbers `count`; the other lanes are zero.
static inline Lanes load_lanes(const float* from, int64_t count = kLanes) {
  Lanes lanes = {};
  __builtin_memcpy(&lanes, from, (size_t)count * sizeof *from);
  return lanes;
}

static inline Lanes load_lanes(const uint16_t* from) {
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof halves);
#if defined(__AVX512F__)
  // g++ 12 would widen by quarters.
  const WordLanes words = (WordLanes)_mm512_cvtepu16_epi32((__m256i)halves);
#else
  const WordLanes words = __builtin_convertvector(halves, WordLanes);
#endif
  return __builtin_bit_cast(Lanes, words << 16);
}

static inline Lanes load_lanes(const int32_t* from) {
  WordLanes words;
  __builtin_memcpy(&words, from, sizeof words);
  return __builtin_convertvector(words, Lanes);
}

static inline void store_lanes(float* to, Lanes lanes, int64_t count = kLanes) {
  __builtin_memcpy(to, &lanes, (size_t)count * sizeof *to);
}

// To bf16, to nearest even: one instruction where there is one, which takes numbers below 2^-126 for zero.
static inline Halves to_halves(Lanes lanes) {
#if defined(__AVX512BF16__)
  return __builtin_bit_cast(Halves, _mm512_cvtneps_pbh(__builtin_bit_cast(__m512, lanes)));
#else
  typedef uint32_t Bits __attribute__((vector_size(kLanes * 4)));
  const Bits bits = __builtin_bit_cast(Bits, lanes);
  const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  // The largest NaN would become zero.
  return __builtin_convertvector(lanes == lanes ? rounded : Bits{} + 0x7fc0u, Halves);
#endif
}

static inline void store_lanes(uint16_t* to, Lanes lanes, int64_t count = kLanes) {
  const Halves halves = to_halves(lanes);
  __builtin_memcpy(to, &halves, (size_t)count * sizeof *to);
}

// The lowest byte of each.
static inline void store_bytes(uint8_t* to, WordLanes words) {
  typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
#if defined(__AVX2__) && !defined(__AVX512F__)
  // g++ 12 would take one by one.
  const __m256i lowest = _mm256_set1_epi32(0x0c080400);
  const __m256i fours = _mm256_shuffle_epi8((__m256i)words, lowest);
  const __m128i eight = _mm_unpacklo_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
  __builtin_memcpy(to, &eight, sizeof(Bytes));
#else
  const Bytes bytes = __builtin_convertvector(words, Bytes);
  __builtin_memcpy(to, &bytes, sizeof bytes);
#endif
}

// To integers, towards zero.
static inline WordLanes to_words(Lanes lanes) { return __builtin_convertvector(lanes, WordLanes); }

template <int... kLane>
static inline WordLanes numbered(std::integer_sequence<int, kLane...>) {
  return WordLanes{kLane...};
}

// The first `count` lanes, and `other` in those after.
static inline Lanes first_lanes(Lanes lanes, int64_t count, float other) {
  return numbered(kEachLane) < (int32_t)count ? lanes : all_lanes(other);
}

// step(j, count) for kLanes of `all` numbers after the other, and for what is left: `count` of them from j.
template <typename Step>
__attribute__((always_inline)) static inline void by_lanes(int64_t all, const Step& step) {
  const int64_t whole = all / kLanes * kLanes;
  for (int64_t j = 0; j < whole; j += kLanes) step(j, kLanes);
  if (whole < all) step(whole, all - whole);
}

// Lanes of a where it is the larger, else of b: of b where either is NaN. g++ would make two instructions of one.
#if defined(__AVX512F__)
static inline Lanes larger(Lanes a, Lanes b) { return (Lanes)_mm512_max_ps((__m512)a, (__m512)b); }
static inline Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
static inline Lanes larger(Lanes a, Lanes b) { return (Lanes)_mm256_max_ps((__m256)a, (__m256)b); }
static inline Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm256_min_ps((__m256)a, (__m256)b); }
#else
static inline Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }
static inline Lanes smaller(Lanes a, Lanes b) { return a < b ? a : b; }
#endif
static inline Lanes sum_of(Lanes a, Lanes b) { return a + b; }

// Each lane as that which is kStep from it, by pairs.
template <int kStep, int... kLane>
static inline Lanes exchanged(Lanes lanes, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(lanes, lanes, (kLane ^ kStep)...);
}

// One number of all lanes, by halves.
template <Lanes (*kFold)(Lanes, Lanes), int kStep = kLanes / 2>
static inline float folded(Lanes lanes) {
  lanes = kFold(lanes, exchanged<kStep>(lanes, kEachLane));
  if constexpr (kStep > 1) return folded<kFold, kStep / 2>(lanes);
  return lanes[0];
}

// The sum of term(j) for every kLanes of `whole` numbers, in four parts, for an addition waits for the one before.
template <typename Term>
__attribute__((always_inline)) static inline float sum_by_lanes(int64_t whole, const Term& term) {
  Lanes parts[4] = {};
  int64_t j = 0;
  for (; j + 4 * kLanes <= whole; j += 4 * kLanes) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; ++i) parts[i] += term(j + i * kLanes);
  }
  for (; j < whole; j += kLanes) parts[0] += term(j);
  return folded<sum_of>((parts[0] + parts[1]) + (parts[2] + parts[3]));
}
