// The towers of a model whose programs are known, with packed weights: what pack.h makes of a module.
#ifndef CLIPN_TOWER_PACKED_TOWERS_H_
#define CLIPN_TOWER_PACKED_TOWERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "clipn/core.h"
#include "error.h"

namespace clipn {

/// Image and text towers behind one element type. Features are fp32 unit rows.
class PackedTowers {
 public:
  virtual ~PackedTowers() = default;

  /// [n, D]; spec 1.2.
  virtual at::Tensor encode_images(const clipn_image_batch& batch) = 0;

  /// The class token [n, D] and the patches [n, P, D].
  virtual std::pair<at::Tensor, at::Tensor> encode_image_patches(const clipn_image_batch& batch) = 0;

  /// Features [n, D], bit for bit those of encode_images, and what each patch adds to them through the attention of
  /// the last block, [n, P, D] (docs/reasons.md).
  virtual std::pair<at::Tensor, at::Tensor> encode_image_contributions(const clipn_image_batch&) {
    throw Error(CLIPN_MODEL_CONTRACT, "on this device the model runs as it is: what a patch contributes is not known");
  }

  /// ids [n, l] row-major to [n, D]; spec 1.3, 1.4.
  virtual at::Tensor encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l) = 0;

  /// The linears of all image blocks for n images and nothing else.
  virtual void run_image_linears(int64_t n) = 0;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_PACKED_TOWERS_H_
