#include "teach/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>

namespace clipn {
namespace {

using MaybeTensor = std::optional<at::Tensor>;
using Product = at::Tensor(const at::Tensor&, const at::Tensor&, const MaybeTensor&, std::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

// libtorch's oneDNN product, or nothing in a libtorch without it.
const std::optional<c10::TypedOperatorHandle<Product>>& onednn() {
  static const auto found = [] {
    const auto op = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    return op ? std::optional(op->typed<Product>()) : std::nullopt;
  }();
  return found;
}

// a b^T (+ bias)
at::Tensor product(const at::Tensor& a, const at::Tensor& b, const MaybeTensor& bias = {}) {
  return onednn()->call(a, b, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

struct OneDnnLinear : torch::autograd::Function<OneDnnLinear> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return product(x, weight, bias);
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               const torch::autograd::tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor dy = gradients[0].flatten(0, -2), x = saved[0].flatten(0, -2);
    return {product(dy, saved[1].t()).view(saved[0].sizes()), product(dy.t(), x.t()), dy.sum(0)};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!onednn() || !x.is_cpu() || x.scalar_type() != at::kFloat) return at::linear(x, weight, bias);
  return OneDnnLinear::apply(x, weight, bias);
}

}  // namespace clipn
