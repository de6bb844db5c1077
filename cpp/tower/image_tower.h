#ifndef CLIPN_TOWER_IMAGE_TOWER_H_
#define CLIPN_TOWER_IMAGE_TOWER_H_

#include <utility>

#include "clipn/core.h"
#include "tower/transformer.h"

namespace clipn {

/// Weights of the image tower around its blocks (spec 1.2), fp32 unless packed.
template <typename T>
struct ImageStem {
  int64_t side, patch;
  PackedLinear<T> conv1;            // a patch's pixels, channel first, to width
  at::Tensor class_embedding;       // [width]
  at::Tensor positional_embedding;  // [1 + P, width]
  Norm ln_pre, ln_post;
  PackedLinear<T> proj;  // [D, width]
};

/// Patches and projection are in T, the blocks' linears as `Linear` has them.
template <typename T, typename Linear = PackedLinear<T>>
class ImageTower {
 public:
  ImageTower(ImageStem<T> stem, Transformer<T, Linear> transformer);

  /// Projected class tokens [n, D], not normalised.
  at::Tensor encode(const clipn_image_batch& batch);
  /// Every projected token [n, 1 + P, D], not normalised.
  at::Tensor encode_tokens(const clipn_image_batch& batch);
  /// As encode(), and what every token adds to it through the last block's attention [n, 1 + P, D].
  std::pair<at::Tensor, at::Tensor> encode_contributions(const clipn_image_batch& batch);
  void run_linears(int64_t n);

 private:
  /// Tokens after ln_pre, fp32 [n, 1 + P, width], kept until the next call.
  float* embed(const clipn_image_batch& batch);

  ImageStem<T> stem_;
  Transformer<T, Linear> transformer_;
  const int64_t grid_, tokens_;
  Buffer<float> x_;
  Buffer<T> patches_;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_IMAGE_TOWER_H_
