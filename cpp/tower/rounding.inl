// Weights to codes of 8 bits, so that errors cancel: what the rounding of one weight adds to an output, the weights of
// the inputs before it take back as far as those inputs go with its own. What GPTQ does (Frantar et al., ICLR 2023), in
// the form of Babai's nearest plane, which needs no inverse (Chen et al., 2025, show that they are one).
// What      A panel of kPanelColumns outputs, which lie side by side; four inputs at a time, for these are one word.
// Numerics  scale is the largest weight's size / 127. From the last input to the first, weight j plus the sum of
//           factor[j][k] e_k over the inputs k after it is rounded to the nearest code; e_j is w_j less what it became.
//           With H the mean of x x^T over inputs x, H = U^T U, and factor = U with rows divided by their diagonal: e is
//           small in |U e|^2, the outputs' mean square error, for each row of U has one unknown more than the next.
// Cost      inputs^2 / 2 multiply-adds an output. Errors take their weights' place and stay in L2.
// Threads   none; writes only to its arguments.

static void weight_scales(const float* weights, int64_t inputs, float* scale) {
  constexpr int64_t kParts = kPanelColumns / kLanes;
  Lanes largest[kParts] = {}, spoilt[kParts] = {};
  for (int64_t k = 0; k < inputs; ++k, weights += kPanelColumns) {
#pragma GCC unroll 16
    for (int64_t p = 0; p < kParts; ++p) {
      const Lanes weight = load_lanes(weights + p * kLanes);
      largest[p] = larger(larger(weight, -weight), largest[p]);
      spoilt[p] += 0.0f * weight;
    }
  }
  for (int64_t p = 0; p < kParts; ++p) store_lanes(scale + p * kLanes, largest[p] * (1.0f / 127.0f) + spoilt[p]);
}

// To the nearest integer of [-127, 127].
static inline WordLanes nearest_code(Lanes value) {
  const Lanes within = smaller(all_lanes(127.0f), larger(all_lanes(-127.0f), value));
  return __builtin_convertvector(within + (within < 0.0f ? all_lanes(-0.5f) : all_lanes(0.5f)), WordLanes);
}

// Four inputs of as many outputs stay in registers with the errors of another.
#if defined(__AVX512F__)
constexpr int64_t kRoundedColumns = 4 * kLanes;
#else
constexpr int64_t kRoundedColumns = 2 * kLanes;
#endif

// kRoundedColumns outputs of a panel.
static inline void round_columns(float* weights, int64_t inputs, const float* factor, const float* scale, int8_t* codes,
                                 float* sum) {
  constexpr int64_t kParts = kRoundedColumns / kLanes, kStep = 4;
  Lanes scales[kParts], inverse[kParts], totals[kParts] = {};
  for (int64_t p = 0; p < kParts; ++p) {
    scales[p] = load_lanes(scale + p * kLanes);
    inverse[p] = scales[p] > 0.0f ? 1.0f / scales[p] : Lanes{};
  }
  const bool takes_back = factor != nullptr;
  for (int64_t j = inputs - kStep; j >= 0; j -= kStep) {
    float* own = weights + j * kPanelColumns;
    Lanes row[kStep][kParts];
    for (int64_t r = 0; r < kStep; ++r) {
      for (int64_t p = 0; p < kParts; ++p) row[r][p] = load_lanes(own + r * kPanelColumns + p * kLanes);
    }
    // Weight j + r takes back what the error of input k adds.
    const auto take_back = [&](int64_t r, int64_t k, const Lanes* errors) __attribute__((always_inline)) {
      const float share = factor[(j + r) * inputs + k];
#pragma GCC unroll 4
      for (int64_t p = 0; p < kParts; ++p) row[r][p] += share * errors[p];
    };
    for (int64_t k = j + kStep; takes_back && k < inputs; ++k) {
      Lanes errors[kParts];
      for (int64_t p = 0; p < kParts; ++p) errors[p] = load_lanes(weights + k * kPanelColumns + p * kLanes);
#pragma GCC unroll 4
      for (int64_t r = 0; r < kStep; ++r) take_back(r, k, errors);
    }
    WordLanes words[kParts] = {};
#pragma GCC unroll 4
    for (int64_t r = kStep - 1; r >= 0; --r) {
      for (int64_t k = r + 1; takes_back && k < kStep; ++k) take_back(r, j + k, row[k]);
      for (int64_t p = 0; p < kParts; ++p) {
        const WordLanes code = nearest_code(row[r][p] * inverse[p]);
        const Lanes number = __builtin_convertvector(code, Lanes);
        totals[p] += number;
        words[p] |= (code & 0xff) << (int32_t)(8 * r);
        float* at = own + r * kPanelColumns + p * kLanes;
        row[r][p] = load_lanes(at) - number * scales[p];  // its error, from here on
        store_lanes(at, row[r][p]);
      }
    }
    __builtin_memcpy(codes + j * kPanelColumns, words, sizeof words);
  }
  for (int64_t p = 0; p < kParts; ++p) {
    store_lanes(sum + p * kLanes, load_lanes(sum + p * kLanes) + scales[p] * totals[p]);
  }
}

static void round_weights(float* weights, int64_t inputs, const float* factor, const float* scale, int8_t* codes,
                          float* sum) {
  for (int64_t j = 0; j < kPanelColumns; j += kRoundedColumns) {
    round_columns(weights + j, inputs, factor, scale + j, codes + 4 * j, sum + j);
  }
}
