// Blocks of rows: what most tasks of a tower are.
#ifndef CLIPN_TOWER_ROW_BLOCKS_H_
#define CLIPN_TOWER_ROW_BLOCKS_H_

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace clipn {

/// Rows that are computed together, at most, and in int8 as many rows of low bytes: a block's activations stay in L2
/// (128 x 3072 bf16 = 0.8 MB).
inline constexpr int64_t kMostRows = 128;

/// Below, reading the weights takes longer than the products.
inline constexpr int64_t kLeastRows = 8;

/// Splits rows into blocks of at most kMostRows whose number is a multiple of the threads, where there are enough.
struct RowBlocks {
  explicit RowBlocks(int64_t all) : rows(all) {
    const int64_t threads = at::get_num_threads();
    count = threads * ((rows + threads * kMostRows - 1) / (threads * kMostRows));
    count = std::max<int64_t>(1, std::min(count, rows / kLeastRows));
  }
  int64_t begin(int64_t block) const { return rows * block / count; }
  /// The block that has a row.
  int64_t of(int64_t row) const { return ((row + 1) * count - 1) / rows; }

  int64_t rows, count;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_ROW_BLOCKS_H_
