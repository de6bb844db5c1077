#include "tower/gemm.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <limits>
#include <string>
#include <vector>

#include "cpu/dispatch.h"
#include "error.h"
#include "tower/element.h"

namespace clipn {
namespace {

using at::native::cpublas::brgemm;

const float* elements(const float* numbers) { return numbers; }
const c10::BFloat16* elements(const uint16_t* bits) { return reinterpret_cast<const c10::BFloat16*>(bits); }

// Numbers of bf16 are numbers of fp32: what a CPU without instructions for them gives is the same, at the rate of fp32
// less what widening takes (a sixth of ViT-B/16: bench/RESULTS.md).
void multiply_widened(const uint16_t* a, int64_t ld_a, const uint16_t* b, int64_t ld_b, int64_t rows, int64_t columns,
                      int64_t depth, float* c, int64_t ld_c, bool accumulate) {
  thread_local std::vector<float> left, right;
  left.resize(static_cast<size_t>(rows * depth));
  right.resize(static_cast<size_t>(depth * columns));
  for (int64_t r = 0; r < rows; ++r) {
    std::transform(a + r * ld_a, a + r * ld_a + depth, left.begin() + r * depth,
                   [](uint16_t bits) { return to_float(bits); });
  }
  for (int64_t k = 0; k < depth; k += 2) {
    const uint16_t* pairs = b + k * ld_b;
    float* first = right.data() + k * columns;
    for (int64_t j = 0; j < columns; ++j) {
      first[j] = to_float(pairs[2 * j]);
      first[columns + j] = to_float(pairs[2 * j + 1]);
    }
  }
  brgemm(rows, columns, depth, depth, columns, ld_c, accumulate, left.data(), right.data(), c);
}

}  // namespace

ReleaseTiles::~ReleaseTiles() { at::native::cpublas::brgemm_release(); }

void multiply(const float* a, int64_t ld_a, const float* b, int64_t ld_b, int64_t rows, int64_t columns, int64_t depth,
              float* c, int64_t ld_c, bool accumulate) {
  brgemm(rows, columns, depth, ld_a, ld_b, ld_c, accumulate, a, b, c);
}

void multiply(const uint16_t* a, int64_t ld_a, const uint16_t* b, int64_t ld_b, int64_t rows, int64_t columns,
              int64_t depth, float* c, int64_t ld_c, bool accumulate) {
  if (!can_multiply<uint16_t>()) {
    return multiply_widened(a, ld_a, b, ld_b, rows, columns, depth, c, ld_c, accumulate);
  }
  brgemm(rows, columns, depth, ld_a, ld_b, ld_c, accumulate, elements(a), elements(b), c);
}

namespace {

using MultiplyCodes = void (*)(const uint8_t*, int64_t, const int8_t*, int64_t, int64_t, int32_t*);

void multiply_by_brgemm(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth, int32_t* c) {
  brgemm(rows, kPanel, depth, ld_a, kPanel, kPanel, false, a, b, c);
}

// oneDNN's where it has one for bytes (AVX-512-VNNI, AMX), else ours for AVX-VNNI or AVX2; null for none of these.
MultiplyCodes choose_multiply_codes() {
  alignas(64) std::array<uint8_t, 64> a{};
  alignas(64) std::array<int8_t, 64 * kPanel> b{};
  alignas(64) std::array<int32_t, kPanel> c{};
  try {
    const ReleaseTiles release;
    multiply_by_brgemm(a.data(), 64, b.data(), 1, 64, c.data());
    return multiply_by_brgemm;
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    return cpu::has_avx_vnni() ? cpu::kernels().multiply_codes : cpu::kernels().multiply_codes_as_words;
  }
}

MultiplyCodes multiply_codes() {
  static const MultiplyCodes chosen = choose_multiply_codes();
  return chosen;
}

// Shortest of several runs in seconds.
template <typename Run>
double shortest(const Run& run) {
  double least = std::numeric_limits<double>::max();
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return least;
}

std::string find_int8_absence() {
#if defined(__x86_64__)
  if (multiply_codes() == nullptr) {
    return "it needs AVX-512-VNNI, AMX-INT8, AVX-VNNI, or AVX2 on a CPU without AVX-512";
  }
#else
  if (multiply_codes() == nullptr) return "libtorch multiplies bytes on x64 alone";
#endif
  constexpr int64_t kRows = 32, kDepth = 512;
  const ReleaseTiles release;
  // The largest sums there are: an instruction that saturates in 16 bits shows here.
  const std::vector<uint8_t> codes(kRows * kDepth, 255);
  std::vector<int8_t> weights(kDepth * kPanel);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<int8_t>(i / 4 % 2 == 0 ? 127 : -127);
  std::vector<int32_t> sums(kRows * kPanel);
  const double bytes =
      shortest([&] { multiply_codes()(codes.data(), kDepth, weights.data(), kRows, kDepth, sums.data()); });
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] != (i % 2 == 0 ? 1 : -1) * 255 * 127 * kDepth) {
      return "products of bytes are not exact on this CPU with this libtorch";
    }
  }
  if (!can_multiply<float>()) return "libtorch has no products of blocks for this CPU";
  // Words of 16 bits are our own: as fast as they are, no other kernel stands in for them.
  if (multiply_codes() == cpu::kernels().multiply_codes_as_words) return "";
  const std::vector<float> a(kRows * kDepth), b(kDepth * kPanel);
  std::vector<float> c(kRows * kPanel);
  const double floats =
      shortest([&] { multiply(a.data(), kDepth, b.data(), kPanel, kRows, kPanel, kDepth, c.data(), kPanel); });
  if (bytes > 2 * floats) {
    return "products of bytes take " + std::to_string(static_cast<int64_t>(bytes / floats + 0.5)) +
           " times as long as those of fp32 on this CPU with this libtorch";
  }
  return "";
}

}  // namespace

void multiply(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth, int32_t* c) {
  multiply_codes()(a, ld_a, b, rows, depth, c);
}

const std::string& int8_absence() {
  static const std::string absence = find_int8_absence();
  return absence;
}

template <typename T>
bool can_multiply() {
  static const bool works = [] {
    alignas(64) T a[16 * 16] = {}, b[16 * 16] = {};
    alignas(64) float c[16 * 16];
    try {
      const ReleaseTiles release;
      brgemm(16, 16, 16, 16, 16, 16, false, elements(a), elements(b), c);
      return true;
    } catch (const std::exception& e) {
      if (is_out_of_memory(e)) throw;
      return false;  // libtorch's word for a CPU or build without these kernels
    }
  }();
  return works;
}

template bool can_multiply<float>();
template bool can_multiply<uint16_t>();

}  // namespace clipn
