// Codes of rows and of weights, and sums of codes turned to numbers again, against double precision, on every CPU
// target.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "rows_reference.h"
#include "targets.h"

namespace clipn {
namespace {

using namespace reference;

class Int8Rows : public PerTarget {
 protected:
  template <typename T>
  static std::vector<T> stored(const std::vector<float>& numbers) {
    std::vector<T> out;
    for (float number : numbers) {
      if constexpr (std::is_same_v<T, float>) {
        out.push_back(number);
      } else {
        out.push_back(static_cast<uint16_t>(__builtin_bit_cast(uint32_t, number) >> 16));
      }
    }
    return out;
  }

  template <typename T>
  const cpu::RowKernels<T>& kernels() const {
    return row_kernels<T>(*GetParam());
  }

  template <typename T>
  void check_codes(float scale) {
    constexpr int64_t kRows = 5, kWidth = 2 * cpu::kPanelColumns;
    const std::vector<T> x = stored<T>(numbers(kRows * kWidth, scale));
    std::vector<uint8_t> codes(kRows * kWidth);
    std::vector<float> step(kRows), least(kRows);
    kernels<T>().quantise(x.data(), kRows, kWidth, codes.data(), step.data(), least.data());
    for (int64_t r = 0; r < kRows; ++r) {
      const auto row = codes.begin() + r * kWidth;
      EXPECT_EQ(*std::min_element(row, row + kWidth), 0);
      EXPECT_EQ(*std::max_element(row, row + kWidth), 255);
      for (int64_t j = 0; j < kWidth; ++j) {
        const double number = static_cast<double>(least[r]) + static_cast<double>(step[r]) * row[j];
        ASSERT_NEAR(number, value(x[r * kWidth + j]), step[r] * 0.501) << r << ", " << j;
      }
    }
  }

  template <typename T>
  void check_fine_codes(float scale) {
    constexpr int64_t kWidth = 2 * cpu::kPanelColumns;
    const std::vector<T> x = stored<T>(numbers(kWidth, scale));
    std::vector<uint8_t> high(kWidth), low(kWidth);
    float step = 0, least = 0;
    kernels<T>().quantise_finely(x.data(), kWidth, high.data(), low.data(), &step, &least);
    for (int64_t j = 0; j < kWidth; ++j) {
      const double number = static_cast<double>(least) + static_cast<double>(step) * (high[j] + low[j] / 256.0);
      ASSERT_NEAR(number, value(x[j]), step / 256 * 0.52) << j;
    }
  }

  template <typename T>
  void check_not_finite() {
    constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
    for (const float wrong : {kNaN, -kNaN, kInfinity, -kInfinity}) {
      std::vector<float> row = numbers(cpu::kPanelColumns, 1);
      row[5] = wrong;
      const std::vector<T> x = stored<T>(row);
      std::vector<uint8_t> codes(x.size());
      float step = 1, least = 1;
      kernels<T>().quantise(x.data(), 1, cpu::kPanelColumns, codes.data(), &step, &least);
      EXPECT_FALSE(std::isfinite(step)) << wrong;
      step = 1;
      kernels<T>().quantise_finely(x.data(), x.size(), codes.data(), codes.data(), &step, &least);
      EXPECT_FALSE(std::isfinite(step)) << wrong << ", in 16 bits";
    }
  }

  // What store_sums gives for one tile of random codes, against the formula.
  template <typename T>
  void check_store(cpu::Activation activation, double (*exact)(double), double tolerance) {
    constexpr int64_t kRows = 5, kColumns = cpu::kPanelColumns, kLd = 70;
    std::vector<int32_t> sums(kRows * kColumns);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<int32_t>(i * 7919 % 20011) - 10000;
    const auto step = numbers(kRows, 0.01F, 1), least = numbers(kRows, 2, 2), scale = numbers(kColumns, 0.05F, 3),
               sum = numbers(kColumns, 1, 4), bias = numbers(kColumns, 1, 5);
    std::vector<T> out(kRows * kLd, T{1});
    kernels<T>().store_sums(sums.data(), kRows, step.data(), least.data(), {scale.data(), sum.data(), bias.data()},
                            activation, out.data(), kLd);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t j = 0; j < kColumns; ++j) {
        const double number = static_cast<double>(step[r]) * sums[r * kColumns + j] * scale[j] +
                              static_cast<double>(least[r]) * sum[j] + bias[j];
        const double expected = exact(number);
        ASSERT_NEAR(value(out[r * kLd + j]), expected, tolerance + std::abs(expected) / 128) << r << ", " << j;
      }
      ASSERT_EQ(out[r * kLd + kColumns], T{1}) << "wrote past the row";
    }
  }
};

TEST_P(Int8Rows, CodesAreWithinHalfAStepAndUseTheWholeRange) {
  check_codes<float>(3);
  check_codes<float>(1e-20F);
  check_codes<float>(1e20F);
  check_codes<uint16_t>(3);
}

TEST_P(Int8Rows, CodesOf16BitsAreWithinHalfA256thOfAStep) {
  check_fine_codes<float>(3);
  check_fine_codes<float>(1e-20F);
  check_fine_codes<float>(1e20F);
  check_fine_codes<uint16_t>(3);
}

TEST_P(Int8Rows, ARowOfOneNumberIsExact) {
  const std::vector<float> x(cpu::kPanelColumns, 0.3F);
  std::vector<uint8_t> codes(x.size(), 9);
  float step = 1, least = 1;
  GetParam()->fp32.quantise(x.data(), 1, cpu::kPanelColumns, codes.data(), &step, &least);
  EXPECT_EQ(step, 0.0F);
  EXPECT_EQ(least, 0.3F);
  EXPECT_EQ(codes, std::vector<uint8_t>(x.size(), 0));
}

TEST_P(Int8Rows, ARowThatIsNotFiniteDoesNotBecomeNumbers) {
  check_not_finite<float>();
  check_not_finite<uint16_t>();
}

TEST_P(Int8Rows, CodesAfterALayerNormAreThoseOfItsFormula) {
  constexpr int64_t kRows = 3, kWidth = 2 * cpu::kPanelColumns;
  const auto x = numbers(kRows * kWidth, 3), weight = numbers(kWidth, 2, 8), bias = numbers(kWidth, 1, 9);
  std::vector<float> row(kWidth), step(kRows), least(kRows);
  std::vector<uint8_t> codes(kRows * kWidth);
  GetParam()->quantise_norm(x.data(), kRows, kWidth, weight.data(), bias.data(), row.data(), codes.data(), step.data(),
                            least.data());
  for (int64_t r = 0; r < kRows; ++r) {
    const std::vector<double> expected = layer_norm(x.data() + r * kWidth, weight, bias);
    for (int64_t j = 0; j < kWidth; ++j) {
      const double number = static_cast<double>(least[r]) + static_cast<double>(step[r]) * codes[r * kWidth + j];
      ASSERT_NEAR(number, expected[j], step[r] * 0.501 + 2e-6);
    }
  }
}

// A panel's weights, as [inputs, outputs], and what the kernels make of them.
struct RoundedPanel {
  RoundedPanel(const cpu::Kernels& kernels, const std::vector<float>& weights, const float* factor)
      : inputs(static_cast<int64_t>(weights.size()) / kOutputs), codes(weights.size()) {
    std::vector<float> spoilt = weights;
    kernels.weight_scales(weights.data(), inputs, scale.data());
    kernels.round_weights(spoilt.data(), inputs, factor, scale.data(), codes.data(), sum.data());
  }

  int code(int64_t input, int64_t output) const { return codes[(input / 4 * kOutputs + output) * 4 + input % 4]; }

  static constexpr int64_t kOutputs = cpu::kPanelColumns;
  int64_t inputs;
  std::vector<int8_t> codes;
  std::vector<float> scale = std::vector<float>(kOutputs), sum = std::vector<float>(kOutputs);
};

TEST_P(Int8Rows, WeightsAreWithinHalfAStepAndTheirSumIsThatOfTheCodes) {
  constexpr int64_t kInputs = 92;
  const auto weights = numbers(kInputs * RoundedPanel::kOutputs, 0.4F);
  const RoundedPanel rounded(*GetParam(), weights, nullptr);
  for (int64_t output = 0; output < RoundedPanel::kOutputs; ++output) {
    const float scale = rounded.scale[output];
    int total = 0, largest = 0;
    for (int64_t k = 0; k < kInputs; ++k) {
      const int code = rounded.code(k, output);
      ASSERT_NEAR(static_cast<double>(scale) * code, weights[k * RoundedPanel::kOutputs + output], scale * 0.501);
      total += code;
      largest = std::max(largest, std::abs(code));
    }
    EXPECT_EQ(largest, 127);
    EXPECT_FLOAT_EQ(rounded.sum[output], scale * static_cast<float>(total));
  }
}

TEST_P(Int8Rows, WeightsThatAreNotFiniteMakeTheScaleSo) {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto weights = numbers(8 * RoundedPanel::kOutputs, 1);
    weights[3 * RoundedPanel::kOutputs + 33] = wrong;
    const RoundedPanel rounded(*GetParam(), weights, nullptr);
    EXPECT_FALSE(std::isfinite(rounded.scale[33]));
    EXPECT_TRUE(std::isfinite(rounded.scale[32]));
  }
}

using Matrix = std::vector<std::vector<double>>;

// Mean products of inputs that go together, [inputs, inputs], and a share of their mean square more.
Matrix moments_of(int64_t inputs) {
  constexpr int64_t kRows = 40;
  const auto common = numbers(kRows, 1, 11), own = numbers(kRows * inputs, 1, 12);
  Matrix moments(inputs, std::vector<double>(inputs));
  for (int64_t i = 0; i < inputs; ++i) {
    for (int64_t j = 0; j < inputs; ++j) {
      for (int64_t r = 0; r < kRows; ++r) {
        moments[i][j] += (2.0 * common[r] + own[r * inputs + i]) * (2.0 * common[r] + own[r * inputs + j]) / kRows;
      }
    }
    moments[i][i] += 0.1;
  }
  return moments;
}

// U of U^T U, rows divided by their diagonal.
std::vector<float> factor_of(const Matrix& moments) {
  const size_t n = moments.size();
  Matrix u(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) {
      double left = moments[i][j];
      for (size_t k = 0; k < i; ++k) left -= u[k][i] * u[k][j];
      u[i][j] = i == j ? std::sqrt(left) : left / u[i][i];
    }
  }
  std::vector<float> factor;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) factor.push_back(static_cast<float>(u[i][j] / u[i][i]));
  }
  return factor;
}

Matrix inverse_of(Matrix a) {
  const size_t n = a.size();
  Matrix inverse(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) inverse[i][i] = 1;
  for (size_t i = 0; i < n; ++i) {
    const double pivot = a[i][i];
    for (size_t j = 0; j < n; ++j) a[i][j] /= pivot, inverse[i][j] /= pivot;
    for (size_t r = 0; r < n; ++r) {
      const double times = a[r][i];
      for (size_t j = 0; r != i && j < n; ++j) a[r][j] -= times * a[i][j], inverse[r][j] -= times * inverse[i][j];
    }
  }
  return inverse;
}

// As the paper has it: an input is rounded, the others move by the inverse of the moments, from which it then goes.
TEST_P(Int8Rows, CodesOfWeightsAreThoseOfGptqFromTheLastInputOn) {
  constexpr int64_t kInputs = 20, kOutputs = RoundedPanel::kOutputs;
  const Matrix moments = moments_of(kInputs);
  const auto weights = numbers(kInputs * kOutputs, 0.4F, 5);
  const std::vector<float> factor = factor_of(moments);
  const RoundedPanel rounded(*GetParam(), weights, factor.data()), nearest(*GetParam(), weights, nullptr);
  int moved = 0;
  for (int64_t output = 0; output < kOutputs; ++output) {
    const double scale = rounded.scale[output];
    std::vector<double> left;
    for (int64_t k = 0; k < kInputs; ++k) left.push_back(weights[k * kOutputs + output]);
    Matrix inverse = inverse_of(moments);
    for (int64_t j = kInputs - 1; j >= 0; --j) {
      // What lies between two codes as exactly as fp32 can tell may become either.
      const double exact = std::clamp(left[j] / scale, -127.0, 127.0);
      const int code = rounded.code(j, output);
      ASSERT_NEAR(code, exact, 0.5001) << j << ", " << output;
      moved += code != nearest.code(j, output) ? 1 : 0;
      const double error = (left[j] - code * scale) / inverse[j][j];
      const std::vector<double> row = inverse[j];
      for (int64_t k = 0; k < j; ++k) left[k] -= error * row[k];
      for (int64_t a = 0; a < j; ++a) {
        for (int64_t b = 0; b < j; ++b) inverse[a][b] -= row[a] * row[b] / row[j];
      }
    }
  }
  EXPECT_GT(moved, 0) << "no error was taken back";
}

TEST_P(Int8Rows, SumsBecomeNumbersWithBiasAndActivation) {
  check_store<float>(cpu::Activation::kNone, identity, 1e-5);
  check_store<uint16_t>(cpu::Activation::kNone, identity, 1e-5);
  check_store<float>(cpu::Activation::kGelu, gelu, 2.1e-4);  // int8.inl: within 2e-4
  check_store<uint16_t>(cpu::Activation::kGelu, gelu, 2.1e-4);
  check_store<float>(cpu::Activation::kQuickGelu, quick_gelu, 1e-5);
}

TEST_P(Int8Rows, SumsAreAdded) {
  constexpr int64_t kRows = 3, kColumns = cpu::kPanelColumns, kLd = 65;
  std::vector<int32_t> sums(kRows * kColumns);
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<int32_t>(i * 7919 % 20011) - 10000;
  const auto step = numbers(kRows, 0.01F, 1), least = numbers(kRows, 2, 2), scale = numbers(kColumns, 0.05F, 3),
             sum = numbers(kColumns, 1, 4), bias = numbers(kColumns, 1, 5);
  std::vector<float> to = numbers(kRows * kLd, 1, 6);
  const std::vector<float> before = to;
  GetParam()->add_sums(sums.data(), kRows, step.data(), least.data(), {scale.data(), sum.data(), bias.data()},
                       to.data(), kLd);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t j = 0; j < kColumns; ++j) {
      const double expected = static_cast<double>(before[r * kLd + j]) +
                              static_cast<double>(step[r]) * sums[r * kColumns + j] * scale[j] +
                              static_cast<double>(least[r]) * sum[j] + bias[j];
      ASSERT_NEAR(to[r * kLd + j], expected, 1e-5);
    }
    EXPECT_EQ(to[r * kLd + kColumns], before[r * kLd + kColumns]) << "wrote past the row";
  }
}

void expect_exact_products(void (*multiply)(const uint8_t*, int64_t, const int8_t*, int64_t, int64_t, int32_t*)) {
  for (const int64_t depth : {4, 64, 100, 300}) {
    for (int64_t rows = 1; rows <= 14; ++rows) {
      const int64_t ld = depth + 3;  // rows on odd addresses
      std::vector<uint8_t> a(rows * ld);
      std::vector<int8_t> b(depth * 64);
      // The largest there are beside arbitrary ones.
      for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<uint8_t>(i % 3 == 0 ? 255 : i * 37);
      for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<int8_t>(i % 5 == 0 ? -127 : i * 91);
      std::vector<int32_t> c(rows * 64 + 1, 12345);
      multiply(a.data(), ld, b.data(), rows, depth, c.data());
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < 64; ++j) {
          int32_t expected = 0;
          for (int64_t k = 0; k < depth; ++k) expected += a[r * ld + k] * b[k / 4 * 256 + 4 * j + k % 4];
          ASSERT_EQ(c[r * 64 + j], expected) << rows << " rows, " << depth << " inputs: " << r << ", " << j;
        }
      }
      EXPECT_EQ(c.back(), 12345) << "wrote past the tile";
    }
  }
}

TEST_P(Int8Rows, ProductsOfCodesAreExactForAnyNumberOfRows) {
  if (GetParam()->multiply_codes == nullptr) GTEST_SKIP() << "a target whose products are oneDNN's";
  if (!cpu::has_avx_vnni()) GTEST_SKIP() << "this machine has no AVX-VNNI";
  expect_exact_products(GetParam()->multiply_codes);
}

TEST_P(Int8Rows, ProductsOfCodesAsWordsAreExactForAnyNumberOfRows) {
  if (GetParam()->multiply_codes_as_words == nullptr) GTEST_SKIP() << "a target that has none";
  expect_exact_products(GetParam()->multiply_codes_as_words);
}

CLIPN_FOR_EVERY_TARGET(Int8Rows);

}  // namespace
}  // namespace clipn
