// Causal self-attention of the text tower, with its gradient.
#pragma once

#include <ATen/core/Tensor.h>

namespace clipn {

/// softmax(q k^T / sqrt(d)) v over the tokens up to one's own. qkv [n, l, 3, heads, d], contiguous; returns [n, l,
/// heads * d] of the same type. Sums are float32.
at::Tensor causal_attention(const at::Tensor& qkv);

}  // namespace clipn
