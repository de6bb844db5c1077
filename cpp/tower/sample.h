// What the linears of an image tower take from pictures of noise: the weights of int8 are rounded by it.
#ifndef CLIPN_TOWER_SAMPLE_H_
#define CLIPN_TOWER_SAMPLE_H_

#include "tower/transformer.h"

namespace clipn {

/// Pictures as a tower takes them, fp32 [n, 3, side, side], the same on every machine: noise in squares of every size
/// from half the side down to a pixel, about as strong in each, as in photos.
at::Tensor noise_pictures(int64_t n, int64_t side);

/// Inputs of a block's linears, fp32 [rows, in] each.
struct BlockInputs {
  at::Tensor qkv, out, fc, proj;
};

/// Tokens on their way through the blocks of a tower, in plain libtorch.
class Sample {
 public:
  /// @param tokens fp32 [n, length, width], as they enter the first block
  /// @param type what the linears compute in
  Sample(at::Tensor tokens, int64_t heads, cpu::Activation activation, at::ScalarType type);

  /// What the linears of the next block take; the tokens leave it.
  BlockInputs through(const Block<Dense>& block);

 private:
  at::Tensor normed(const Norm& norm) const;
  at::Tensor linear(const Dense& dense, const at::Tensor& x) const;
  at::Tensor attended(const at::Tensor& qkv) const;
  at::Tensor activated(const at::Tensor& hidden) const;

  at::Tensor tokens_;
  int64_t heads_;
  cpu::Activation activation_;
  at::ScalarType type_;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_SAMPLE_H_
