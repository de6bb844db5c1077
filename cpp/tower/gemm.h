// Matrix products of blocks, on libtorch's brgemm (oneDNN's micro-kernels: AMX, AVX-512-BF16, AVX-512-VNNI, AVX-512,
// AVX2), of bytes also on our own (code_products.inl); and the tiles that they leave configured.
#ifndef CLIPN_TOWER_GEMM_H_
#define CLIPN_TOWER_GEMM_H_

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "cpu/kernels.h"

namespace clipn {

/// Columns of a product that are computed together: with 64 the tile of a row block stays in L1, and one panel of the
/// weights in L2.
inline constexpr int64_t kPanel = cpu::kPanelColumns;

/// float -> float; bf16 bits -> c10::BFloat16.
template <typename T>
using Element = std::conditional_t<std::is_same_v<T, float>, float, c10::BFloat16>;

/// Whether this machine and libtorch have brgemm for T (float or bf16 bits).
template <typename T>
bool can_multiply();

/// c = a b, or c += with `accumulate`: fp32 [rows, columns]; b [depth, columns] with ld_b numbers (fp32) or pairs of
/// inputs (bf16) a row. Where can_multiply() has no bf16, its numbers are multiplied as fp32, which all of them are:
/// the same but for the order of sums, at the rate of fp32.
void multiply(const float* a, int64_t ld_a, const float* b, int64_t ld_b, int64_t rows, int64_t columns, int64_t depth,
              float* c, int64_t ld_c, bool accumulate = false);
void multiply(const uint16_t* a, int64_t ld_a, const uint16_t* b, int64_t ld_b, int64_t rows, int64_t columns,
              int64_t depth, float* c, int64_t ld_c, bool accumulate = false);

/// c = a b, exact: a [rows, depth] bytes, b [depth / 4, kPanel, 4] of one panel, c [rows, kPanel]; depth is a multiple
/// of 4. Only where int8_absence() is empty.
void multiply(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth, int32_t* c);

/// Why this machine and libtorch do not multiply bytes; empty when they do. Decided once: by the CPU's instructions, by
/// whether extreme products are exact, and by the clock, for a reference kernel that libtorch takes without a word is
/// thousands of times slower.
const std::string& int8_absence();

/// A thread's AMX tiles are configured by products; other code must find them released, as at the end of its scope.
struct ReleaseTiles {
  ReleaseTiles() = default;
  ReleaseTiles(const ReleaseTiles&) = delete;
  ReleaseTiles& operator=(const ReleaseTiles&) = delete;
  ~ReleaseTiles();
};

}  // namespace clipn

#endif  // CLIPN_TOWER_GEMM_H_
