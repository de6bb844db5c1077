// What a transformer block does between its matrix products (spec 1.2, 1.3), for rows of fp32 or bf16.
// What      LayerNorm, bias, GELU, softmax of attention, and the layouts that the products want.
// Shapes    row-major; `rows` rows of `columns` or `width` numbers, `ld` numbers apart. T is float, or a bf16's bits.
// Cost      from L1, where a row stays: LayerNorm reads a row three times and writes it once, softmax twice and once,
//           the others once and once. GELU and softmax take one exponential a number: of ViT-B/16 1.1 million an image
//           and layer against 2.9 GFLOP in products.
// Numerics  everything is fp32 until it is stored; bf16 rounds to nearest even. erf by Abramowitz and Stegun 7.1.26,
//           within 1.5e-7.
// Threads   none; writes only to its arguments.

static inline Lanes exact_gelu(Lanes x) {
  const Lanes z = larger(x, -x) * 0.70710678118654752f;
  const Lanes t = 1.0f / (1.0f + 0.3275911f * z);
  Lanes p = all_lanes(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  // (1 - erf z) x / 2: what is missing from x on the right of zero, and all there is on the left.
  const Lanes tail = 0.5f * x * p * t * exp2_below(-z * z * kLog2E);
  return x >= 0.0f ? x - tail : tail;
}

static inline Lanes quick_gelu(Lanes x) {
  const Lanes t = exp2_below(-larger(x, -x) * (1.702f * kLog2E));
  const Lanes r = x / (1.0f + t);
  return x >= 0.0f ? r : r * t;
}

// Of a row: its mean, and 1 / sqrt(variance + 1e-5).
struct Moments {
  float mean, factor;

  Lanes normed(Lanes x, Lanes weight, Lanes bias) const { return (x - mean) * factor * weight + bias; }
};

static inline Moments moments_of(const float* x, int64_t width) {
  const int64_t whole = width / kLanes * kLanes;
  float sum = sum_by_lanes(whole, [=](int64_t j) { return load_lanes(x + j); });
  for (int64_t j = whole; j < width; ++j) sum += x[j];
  const float mean = sum / (float)width;
  float square = sum_by_lanes(whole, [=](int64_t j) {
    const Lanes off = load_lanes(x + j) - mean;
    return off * off;
  });
  for (int64_t j = whole; j < width; ++j) square += (x[j] - mean) * (x[j] - mean);
  return {mean, 1.0f / __builtin_sqrtf(square / (float)width + 1e-5f)};
}

// out = (x - mean) / sqrt(variance + 1e-5) * weight + bias of each row.
template <typename T>
static void layer_norm(const float* x, int64_t rows, int64_t width, const float* weight, const float* bias, T* out) {
  for (int64_t r = 0; r < rows; ++r, x += width, out += width) {
    const Moments moments = moments_of(x, width);
    by_lanes(width, [=](int64_t j, int64_t count) {
      const Lanes normed =
          moments.normed(load_lanes(x + j, count), load_lanes(weight + j, count), load_lanes(bias + j, count));
      store_lanes(out + j, normed, count);
    });
  }
}

static inline Lanes unchanged(Lanes x) { return x; }

template <Lanes (*kFunction)(Lanes), typename T>
static void store_rows(const float* tile, int64_t rows, int64_t columns, const float* bias, T* out, int64_t ld) {
  for (int64_t r = 0; r < rows; ++r, tile += columns, out += ld) {
    by_lanes(columns, [=](int64_t j, int64_t count) {
      store_lanes(out + j, kFunction(load_lanes(tile + j, count) + load_lanes(bias + j, count)), count);
    });
  }
}

// out = activation(tile + bias); tile is [rows, columns], dense.
template <typename T>
static void store_linear(const float* tile, int64_t rows, int64_t columns, const float* bias, Activation activation,
                         T* out, int64_t ld) {
  switch (activation) {
    case Activation::kGelu:
      return store_rows<exact_gelu>(tile, rows, columns, bias, out, ld);
    case Activation::kQuickGelu:
      return store_rows<quick_gelu>(tile, rows, columns, bias, out, ld);
    case Activation::kNone:
      return store_rows<unchanged>(tile, rows, columns, bias, out, ld);
  }
}

static inline Lanes exp2_for(const float*, Lanes v) { return exp2_below(v); }
static inline Lanes exp2_for(const uint16_t*, Lanes v) { return coarse_exp2_below(v); }

// p = e^{scale (s - row maximum)}, unnormalised, and 1 / its row sum. Row r sees its first `visible` + r * step
// numbers, at least one; what follows, up to ld_p, is zero. ld and ld_p are multiples of 16, and ld_p at least ld.
template <typename T>
static void softmax(const float* s, int64_t rows, int64_t ld, int64_t visible, int64_t step, float scale, T* p,
                    int64_t ld_p, float* inverse_sum) {
  const float e = scale * kLog2E;
  for (int64_t r = 0; r < rows; ++r, s += ld, p += ld_p, visible += step) {
    const int64_t whole = visible / kLanes * kLanes, rest = visible - whole;
    Lanes largest = rest == 0 ? load_lanes(s) : first_lanes(load_lanes(s + whole), rest, -__builtin_inff());
    for (int64_t j = 0; j < whole; j += kLanes) largest = larger(load_lanes(s + j), largest);
    // Rounded; the error is in all terms alike, and so in their sum.
    const float most = folded<larger>(largest) * e;
    Lanes sum = {};
    for (int64_t j = 0; j < whole; j += kLanes) {
      const Lanes term = exp2_for(p, load_lanes(s + j) * e - most);
      store_lanes(p + j, term);
      sum += term;
    }
    int64_t end = whole;
    if (rest != 0) {
      const Lanes term = first_lanes(exp2_for(p, load_lanes(s + whole) * e - most), rest, 0.0f);
      store_lanes(p + whole, term);
      sum += term;
      end += kLanes;
    }
    for (int64_t j = end; j < ld_p; j += kLanes) store_lanes(p + j, Lanes{});
    inverse_sum[r] = 1.0f / folded<sum_of>(sum);
  }
}

// out = tile * factor of the row.
template <typename T>
static void store_scaled(const float* tile, int64_t rows, int64_t columns, const float* factor, T* out, int64_t ld) {
  for (int64_t r = 0; r < rows; ++r, tile += columns, out += ld) {
    const float by = factor[r];
    by_lanes(columns, [=](int64_t j, int64_t count) { store_lanes(out + j, load_lanes(tile + j, count) * by, count); });
  }
}

// Exchanges the quarters off the diagonal of every square of 2 kStep rows and lanes, then those of half the size.
template <int kStep, int... kLane>
static inline void exchange_quarters(WordLanes* rows, std::integer_sequence<int, kLane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kStep) != 0) continue;
    const WordLanes a = rows[i], b = rows[i + kStep];
    rows[i] = __builtin_shufflevector(a, b, ((kLane & kStep) == 0 ? kLane : kLane + (int)kLanes - kStep)...);
    rows[i + kStep] = __builtin_shufflevector(a, b, ((kLane & kStep) == 0 ? kLane + kStep : kLane + (int)kLanes)...);
  }
  if constexpr (kStep > 1) exchange_quarters<kStep / 2>(rows, kEachLane);
}

// out[j, i] = in[i, j] of kLanes rows of as many words.
static inline void transpose_square(const uint32_t* in, int64_t ld, uint32_t* out, int64_t ld_out) {
  WordLanes rows[kLanes];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes; ++i) __builtin_memcpy(&rows[i], in + i * ld, sizeof rows[i]);
  exchange_quarters<kLanes / 2>(rows, kEachLane);
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes; ++i) __builtin_memcpy(out + i * ld_out, &rows[i], sizeof rows[i]);
}

// out[j, i] = in[i, j] for `rows` x `columns` words of 32 bits; rows up to `padded` are zero. A bf16 pair is one word,
// so this turns keys into the right-hand side of q k^T, and weights into that of x W^T, for either type.
static void transpose_words(const uint32_t* in, int64_t rows, int64_t ld, int64_t columns, uint32_t* out,
                            int64_t padded) {
  for (int64_t i = 0; i < padded; i += kLanes) {
    const int64_t side = padded - i < kLanes ? padded - i : kLanes;
    const int64_t height = rows - i < side ? (rows > i ? rows - i : 0) : side;
    int64_t j = 0;
    for (; height == kLanes && j + kLanes <= columns; j += kLanes) {
      transpose_square(in + i * ld + j, ld, out + j * padded + i, padded);
    }
    for (; j < columns; ++j) {
      uint32_t* to = out + j * padded + i;
      for (int64_t k = 0; k < height; ++k) __builtin_memcpy(to + k, in + (i + k) * ld + j, sizeof *to);
      for (int64_t k = height; k < side; ++k) to[k] = 0;
    }
  }
}

// out[i / 2, j, i % 2] = in[i, j]: bf16 values as the right-hand side of p v; rows up to `padded` (even) are zero.
static void interleave_pairs(const uint16_t* in, int64_t rows, int64_t ld, int64_t columns, uint16_t* out,
                             int64_t padded) {
  for (int64_t i = 0; i < padded; i += 2, out += 2 * columns) {
    const uint16_t* first = in + i * ld;
    if (i + 1 < rows) {
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) {
        out[2 * j] = first[j];
        out[2 * j + 1] = first[j + ld];
      }
    } else {
      for (int64_t j = 0; j < columns; ++j) {
        out[2 * j] = i < rows ? first[j] : (uint16_t)0;
        out[2 * j + 1] = 0;
      }
    }
  }
}
