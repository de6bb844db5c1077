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
using Product_ = c10::TypedOperatorHandle<Product>;

// libtorch's oneDNN product, or nothing in a libtorch without it.
std::optional<Product_> find_product() {
  const auto op = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  return op ? std::optional(op->typed<Product>()) : std::nullopt;
}

// a b^T (+ bias)
at::Tensor product(const Product_& op, const at::Tensor& a, const at::Tensor& b, const MaybeTensor& bias = {}) {
  return op.call(a, b, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

struct OneDnnLinear : torch::autograd::Function<OneDnnLinear> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const Product_& op) {
    context->save_for_backward({x, weight});
    context->saved_data["op"] = reinterpret_cast<int64_t>(&op);
    return product(op, x, weight, bias);
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               const torch::autograd::tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Product_& op = *reinterpret_cast<const Product_*>(context->saved_data["op"].toInt());
    const at::Tensor dy = gradients[0].flatten(0, -2), x = saved[0].flatten(0, -2);
    return {product(op, dy, saved[1].t()).view(saved[0].sizes()), product(op, dy.t(), x.t()), dy.sum(0), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const std::optional<Product_> op = find_product();
  if (!op || !x.is_cpu() || x.scalar_type() != at::kFloat) return at::linear(x, weight, bias);
  return OneDnnLinear::apply(x, weight, bias, *op);
}

}  // namespace clipn
