#include "teach/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>
#include <limits>

namespace clipn {
namespace {

// Which of q, k and v as [n, heads, l, d].
at::Tensor part(const at::Tensor& qkv, int64_t which) { return qkv.select(2, which).transpose(1, 2); }

at::Tensor by_token(const at::Tensor& x) { return x.transpose(1, 2).flatten(2); }

// On a CPU libtorch's fused attention takes 2 to 6 times as long, forward and backward, at 16 to 77 tokens
// (bench/README.md). This keeps qkv as it is and the shares, 4 * heads * l bytes a token: a seventh of a block's
// activations at 77 tokens.
struct CpuAttention : torch::autograd::Function<CpuAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& qkv) {
    const int64_t l = qkv.size(1);
    const at::Tensor q = part(qkv, 0).to(at::kFloat), k = part(qkv, 1).to(at::kFloat);
    const at::Tensor later = at::full({l, l}, -std::numeric_limits<float>::infinity(), q.options()).triu(1);
    const at::Tensor scores = at::matmul(q, k.transpose(2, 3)).mul_(scale(qkv)).add_(later);
    const at::Tensor shares = at::softmax(scores, -1);
    context->save_for_backward({qkv, shares});
    return by_token(at::matmul(shares, part(qkv, 2).to(at::kFloat))).to(qkv.scalar_type());
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               const torch::autograd::tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], &shares = saved[1];
    const std::array<int64_t, 4> heads = {qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4)};
    const at::Tensor dy = gradients[0].reshape(heads).transpose(1, 2).to(at::kFloat);
    const at::Tensor dshares = at::matmul(dy, part(qkv, 2).to(at::kFloat).transpose(2, 3));
    const at::Tensor dscores = at::_softmax_backward_data(dshares, shares, -1, at::kFloat).mul_(scale(qkv));
    at::Tensor dqkv = at::empty_like(qkv);
    part(dqkv, 0).copy_(at::matmul(dscores, part(qkv, 1).to(at::kFloat)));
    part(dqkv, 1).copy_(at::matmul(dscores.transpose(2, 3), part(qkv, 0).to(at::kFloat)));
    part(dqkv, 2).copy_(at::matmul(shares.transpose(2, 3), dy));
    return {dqkv};
  }

 private:
  static double scale(const at::Tensor& qkv) { return 1 / std::sqrt(static_cast<double>(qkv.size(4))); }
};

}  // namespace

at::Tensor causal_attention(const at::Tensor& qkv) {
  if (qkv.is_cpu()) return CpuAttention::apply(qkv);
  return by_token(
      at::scaled_dot_product_attention(part(qkv, 0), part(qkv, 1), part(qkv, 2), {}, 0.0, /*is_causal=*/true));
}

}  // namespace clipn
