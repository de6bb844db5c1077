#ifndef CLIPN_TOWER_TEXT_TOWER_H_
#define CLIPN_TOWER_TEXT_TOWER_H_

#include "tower/transformer.h"

namespace clipn {

/// Weights of a text tower around its blocks (spec 1.3, 1.4), fp32 unless packed.
template <typename T>
struct TextStem {
  at::Tensor token_embedding;       // [V, width]
  at::Tensor positional_embedding;  // [context, width]
  Norm ln_final;
  PackedLinear<T> projection;  // [D, width]
};

template <typename T>
class TextTower {
 public:
  TextTower(TextStem<T> stem, Transformer<T> transformer);

  /// ids [n, l] to projected read-out tokens [n, D], not normalised. A prompt ends with its largest id (its first,
  /// among equals); what follows is padding, which a causal tower never sees, and is not computed.
  at::Tensor encode(const int64_t* ids, int64_t n, int64_t l);

 private:
  TextStem<T> stem_;
  Transformer<T> transformer_;
  Buffer<float> x_;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_TEXT_TOWER_H_
