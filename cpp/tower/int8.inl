// Rows and products in 8 bits: number j of a row is least + step * code[j], code an integer of [0, 255]. In 16 bits it
// is least + step * (high[j] + low[j] / 256), of two such bytes.
// What      Codes of rows, with and without a LayerNorm before; sums of code products back to numbers.
// Numerics  step = (largest - least) / 255 of each row, so a number is off by at most step / 2; in 16 bits step is
//           256 / 65535 of that range, and a number off by step / 512. With weights w = scale * code of their own
//           output, sum_k w_k x_k = step * scale * sum(codes) + least * scale * sum(w codes): the sums of codes are
//           exact in 32 bits up to 66,000 inputs. A row of one number has step 0.
// Cost      two reads and one write of each number; four operations for each number of a tile.
// Threads   none; writes only to its arguments.

static inline float number(float value) { return value; }

static inline float number(uint16_t bits) { return __builtin_bit_cast(float, (uint32_t)bits << 16); }

// Least number of a row, and the largest less it. Where one is not finite that is NaN or infinite, and so is the step:
// what is not a number must not become one by its code.
struct Range {
  float low, size;
};

// The range of numbers that come by two vectors. NaN is neither below nor above: it is seen in a sum, of two parts, for
// an addition waits for the one before.
struct RangeSoFar {
  Lanes lows, highs, spoiling[2] = {};

  explicit RangeSoFar(Lanes some) : lows(some), highs(some) {}
  void add(Lanes left, Lanes right) {
    lows = smaller(right, smaller(left, lows));
    highs = larger(right, larger(left, highs));
    spoiling[0] += 0.0f * left;
    spoiling[1] += 0.0f * right;
  }
  Range range() const {
    const float low = folded<smaller>(lows);
    return {low, folded<larger>(highs) - low + folded<sum_of>(spoiling[0] + spoiling[1])};
  }
};

static inline Range range_of(const float* x, int64_t width) {
  RangeSoFar all(all_lanes(x[0]));
  for (int64_t j = 0; j < width; j += 2 * kLanes) all.add(load_lanes(x + j), load_lanes(x + j + kLanes));
  return all.range();
}

// bf16 as integers in the order of the numbers: NaN lies outside the infinities.
typedef int16_t Keys __attribute__((vector_size(kLanes * 4)));
typedef int16_t HalfKeys __attribute__((vector_size(kLanes * 2)));
struct KeyHalves {
  HalfKeys first, second;
};

static inline Lanes numbers_of(HalfKeys keys) { return __builtin_convertvector(keys, Lanes); }

// From the bits of bf16 to their key, and back.
template <typename Integers>
static inline Integers turned(Integers bits) {
  return bits ^ (bits >> 15 & 0x7fff);
}

static inline float of_key(float key) { return number((uint16_t)turned((int32_t)key)); }

static inline Range range_of(const uint16_t* x, int64_t width) {
  const auto keys_at = [x](int64_t j) {
    Keys bits;
    __builtin_memcpy(&bits, x + j, sizeof bits);
    return turned(bits);
  };
  Keys lows = keys_at(0), highs = lows;
  for (int64_t j = 2 * kLanes; j < width; j += 2 * kLanes) {
    const Keys keys = keys_at(j);
    lows = keys < lows ? keys : lows;
    highs = keys > highs ? keys : highs;
  }
  // Keys are whole numbers that a float holds, too.
  const KeyHalves least = __builtin_bit_cast(KeyHalves, lows), largest = __builtin_bit_cast(KeyHalves, highs);
  const float low = of_key(folded<smaller>(smaller(numbers_of(least.first), numbers_of(least.second))));
  return {low, of_key(folded<larger>(larger(numbers_of(largest.first), numbers_of(largest.second)))) - low};
}

template <typename T>
static inline void to_codes(const T* x, int64_t width, Range range, uint8_t* codes, float* step, float* least) {
  const float factor = range.size > 0.0f ? 255.0f / range.size : 0.0f;
  *step = range.size / 255.0f;
  *least = range.low;
  for (int64_t j = 0; j < width; j += kLanes) {
    store_bytes(codes + j, to_words((load_lanes(x + j) - range.low) * factor + 0.5f));
  }
}

// Widths are whole panels, here and below.
template <typename T>
static void quantise(const T* x, int64_t rows, int64_t width, uint8_t* codes, float* step, float* least) {
  for (int64_t r = 0; r < rows; ++r, x += width, codes += width) {
    to_codes(x, width, range_of(x, width), codes, step + r, least + r);
  }
}

// One row in 16 bits.
template <typename T>
static void quantise_finely(const T* x, int64_t width, uint8_t* high, uint8_t* low, float* step, float* least) {
  const Range range = range_of(x, width);
  const float factor = range.size > 0.0f ? 65535.0f / range.size : 0.0f;
  *step = range.size * (256.0f / 65535.0f);
  *least = range.low;
  for (int64_t j = 0; j < width; j += kLanes) {
    const WordLanes code = to_words((load_lanes(x + j) - range.low) * factor + 0.5f);
    store_bytes(high + j, code >> 8);
    store_bytes(low + j, code);
  }
}

// The codes of layer_norm(x). `row` takes width numbers.
static void quantise_norm(const float* x, int64_t rows, int64_t width, const float* weight, const float* bias,
                          float* row, uint8_t* codes, float* step, float* least) {
  for (int64_t r = 0; r < rows; ++r, x += width, codes += width) {
    const Moments moments = moments_of(x, width);
    const auto normed = [=](int64_t j) {
      return moments.normed(load_lanes(x + j), load_lanes(weight + j), load_lanes(bias + j));
    };
    RangeSoFar all(normed(0));
    for (int64_t j = 0; j < width; j += 2 * kLanes) {
      const Lanes left = normed(j), right = normed(j + kLanes);
      store_lanes(row + j, left);
      store_lanes(row + j + kLanes, right);
      all.add(left, right);
    }
    to_codes(row, width, all.range(), codes, step + r, least + r);
  }
}

// GELU within 2e-4, a fiftieth of a step of 8 bits over [-0.17, 3]: x (1/2 + y p(y^2)) with y = x in [-4, 4], where the
// second factor reaches 0 and 1. Half the operations of exact_gelu, and no division.
static inline Lanes coarse_gelu(Lanes x) {
  const Lanes y = smaller(all_lanes(4.0f), larger(all_lanes(-4.0f), x));
  const Lanes s = y * y;
  Lanes p = all_lanes(0x1.840fd6p-26f);
  p = p * s - 0x1.aa7f5ep-20f;
  p = p * s + 0x1.90ac46p-15f;
  p = p * s - 0x1.a9d21ep-11f;
  p = p * s + 0x1.1f2b4p-7f;
  p = p * s - 0x1.086a3ep-4f;
  p = p * s + 0x1.976b5p-2f;
  return x * (0.5f + y * p);
}

// What belongs to the outputs of a panel.
struct PanelChannels {
  static constexpr int64_t kParts = kPanelColumns / kLanes;
  Lanes scale[kParts], sum[kParts], bias[kParts];

  explicit PanelChannels(const Channels& channels) {
    for (int64_t i = 0; i < kParts; ++i) {
      scale[i] = load_lanes(channels.scale + i * kLanes);
      sum[i] = load_lanes(channels.sum + i * kLanes);
      bias[i] = load_lanes(channels.bias + i * kLanes);
    }
  }

  // The numbers of sums i of a row.
  Lanes numbers(int64_t i, const int32_t* sums, float step, float least) const {
    return load_lanes(sums + i * kLanes) * step * scale[i] + (least * sum[i] + bias[i]);
  }
};

template <Lanes (*kFunction)(Lanes), typename T>
static void store_sum_rows(const int32_t* sums, int64_t rows, const float* step, const float* least,
                           const Channels& channels, T* out, int64_t ld) {
  const PanelChannels panel(channels);
  for (int64_t r = 0; r < rows; ++r, sums += kPanelColumns, out += ld) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < PanelChannels::kParts; ++i) {
      store_lanes(out + i * kLanes, kFunction(panel.numbers(i, sums, step[r], least[r])));
    }
  }
}

// out = activation(numbers of sums + bias); sums is [rows, kPanelColumns].
template <typename T>
static void store_sums(const int32_t* sums, int64_t rows, const float* step, const float* least,
                       const Channels& channels, Activation activation, T* out, int64_t ld) {
  switch (activation) {
    case Activation::kGelu:
      return store_sum_rows<coarse_gelu>(sums, rows, step, least, channels, out, ld);
    case Activation::kQuickGelu:
      return store_sum_rows<quick_gelu>(sums, rows, step, least, channels, out, ld);
    case Activation::kNone:
      return store_sum_rows<unchanged>(sums, rows, step, least, channels, out, ld);
  }
}

// to += numbers of sums + bias.
static void add_sums(const int32_t* sums, int64_t rows, const float* step, const float* least, const Channels& channels,
                     float* to, int64_t ld) {
  const PanelChannels panel(channels);
  for (int64_t r = 0; r < rows; ++r, sums += kPanelColumns, to += ld) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < PanelChannels::kParts; ++i) {
      float* at = to + i * kLanes;
      store_lanes(at, load_lanes(at) + panel.numbers(i, sums, step[r], least[r]));
    }
  }
}
