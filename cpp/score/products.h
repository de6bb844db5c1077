// Products of a block of images with blocks of a bank: all that the score pass multiplies.
#ifndef CLIPN_SCORE_PRODUCTS_H_
#define CLIPN_SCORE_PRODUCTS_H_

#include <cstdint>
#include <vector>

#include "cpu/kernels.h"

namespace clipn {

// A tile of dot products, kTileImages x kTileClasses for yes and for no, stays in one core's L2. Fixed: sums depend on
// them.
inline constexpr int64_t kTileImages = 64;
inline constexpr int64_t kTileClasses = 512;

// One thread's tile: cosines, and what they are made of.
struct Tile {
  void reserve(int64_t rows, int64_t d, bool both);
  std::vector<float> features, by_class, x, y;
  float chunk_max[kTileClasses / cpu::kChunkClasses];
};

// With brgemm the classes are the rows of the product, since a bank lies as a left factor does; of the images, its
// right factor, a transposed copy is made once, and each tile is transposed within L2. bench/README.md has what the
// BLAS took.
class Products {
 public:
  // rows <= kTileImages
  Products(const cpu::Kernels& kernels, const float* features, int64_t rows, int64_t d, Tile& tile);

  // out [rows, count] = features bank^T, of bank [count, d]; count <= kTileClasses.
  void with(const float* bank, int64_t count, float* out);

  // The same numbers as [count, images()], in the tile: rows, then what fills up to a multiple of cpu::kImageStep.
  const float* by_class(const float* bank, int64_t count);
  int64_t images() const { return padded_; }

 private:
  const cpu::Kernels& kernels_;
  const bool by_brgemm_;
  int64_t rows_, padded_, d_;
  Tile& tile_;
};

}  // namespace clipn

#endif  // CLIPN_SCORE_PRODUCTS_H_
