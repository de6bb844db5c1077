#include "score/products.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "tower/gemm.h"

namespace clipn {
namespace {

// Products of fewer rows, or of a number of rows that is no multiple of 16, may take another path and other roundings;
// padding to it makes an image's bits independent of its batch (verified with MKL and brgemm: 1-200 rows).
static_assert(cpu::kImageStep % 16 == 0);
int64_t padded(int64_t rows) { return (rows + cpu::kImageStep - 1) / cpu::kImageStep * cpu::kImageStep; }

const uint32_t* bits(const float* data) { return reinterpret_cast<const uint32_t*>(data); }
uint32_t* bits(float* data) { return reinterpret_cast<uint32_t*>(data); }

at::Tensor view(const float* data, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<float*>(data), {rows, columns}, at::kFloat);
}

}  // namespace

void Tile::reserve(int64_t rows, int64_t d, bool both) {
  features.resize(padded(rows) * d);
  by_class.resize(padded(rows) * kTileClasses);
  x.resize(padded(rows) * kTileClasses);
  if (both) y.resize(x.size());
}

Products::Products(const cpu::Kernels& kernels, const float* features, int64_t rows, int64_t d, Tile& tile)
    : kernels_(kernels), by_brgemm_(can_multiply<float>()), rows_(rows), padded_(padded(rows)), d_(d), tile_(tile) {
  if (by_brgemm_) {
    kernels.transpose_words(bits(features), rows, d, d, bits(tile.features.data()), padded_);
  } else {
    std::copy_n(features, rows * d, tile.features.data());
    std::fill(tile.features.begin() + rows * d, tile.features.begin() + padded_ * d, 0.0f);
  }
}

void Products::with(const float* bank, int64_t count, float* out) {
  if (by_brgemm_) {
    kernels_.transpose_words(bits(by_class(bank, count)), count, padded_, rows_, bits(out), count);
  } else {
    at::Tensor product = view(out, padded_, count);
    at::mm_out(product, view(tile_.features.data(), padded_, d_), view(bank, count, d_).t());
  }
}

const float* Products::by_class(const float* bank, int64_t count) {
  float* out = tile_.by_class.data();
  if (by_brgemm_) {
    multiply(bank, d_, tile_.features.data(), padded_, count, padded_, d_, out, padded_);
  } else {
    // Not the product of bank and features: its roundings may differ from those of with().
    with(bank, count, tile_.x.data());
    kernels_.transpose_words(bits(tile_.x.data()), padded_, count, count, bits(out), padded_);
  }
  return out;
}

}  // namespace clipn
