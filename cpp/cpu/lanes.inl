// Sixteen numbers at once, in whatever registers the target has: for loops whose sums and maxima g++ would fold number
// by number at the end, or whose last numbers it would take one by one. Lanes of a row are what it has of whole
// sixteens.

typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t WordLanes __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;

static inline Lanes all_lanes(float value) { return Lanes{} + value; }

static inline Lanes load_lanes(const float* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

static inline Lanes load_lanes(const uint16_t* from) {
  typedef uint16_t Halves __attribute__((vector_size(32)));
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  return __builtin_bit_cast(Lanes, __builtin_convertvector(halves, WordLanes) << 16);
}

static inline void store_lanes(float* to, Lanes lanes) { __builtin_memcpy(to, &lanes, sizeof lanes); }

// To bf16, to nearest even.
static inline void store_lanes(uint16_t* to, Lanes lanes) {
  typedef uint32_t Bits __attribute__((vector_size(64)));
  typedef uint16_t Halves __attribute__((vector_size(32)));
  const Bits bits = __builtin_bit_cast(Bits, lanes);
  const Halves halves = __builtin_convertvector((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, Halves);
  __builtin_memcpy(to, &halves, sizeof halves);
}

// Lanes of a where it is the larger, else of b: of b where either is NaN.
static inline Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }
static inline Lanes smaller(Lanes a, Lanes b) { return a < b ? a : b; }
static inline Lanes sum_of(Lanes a, Lanes b) { return a + b; }

// One number of sixteen, by halves.
template <Lanes (*kFold)(Lanes, Lanes)>
static inline float folded(Lanes lanes) {
  lanes = kFold(lanes, __builtin_shufflevector(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  lanes = kFold(lanes, __builtin_shufflevector(lanes, lanes, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  lanes = kFold(lanes, __builtin_shufflevector(lanes, lanes, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  lanes = kFold(lanes, __builtin_shufflevector(lanes, lanes, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  return lanes[0];
}
