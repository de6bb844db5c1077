#include "teach/adamw.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include <utility>

namespace clipn {

AdamW::AdamW(const std::map<std::string, at::Tensor>& weights, std::map<std::string, Moments> moments,
             const Constants& constants, uint64_t steps)
    : constants_(constants), moments_(std::move(moments)) {
  groups_[1].decay = constants.weight_decay;
  for (const auto& [name, weight] : weights) {
    Group& group = groups_[weight.dim() >= 2 ? 1 : 0];
    const Moments& both = moments_.at(name);
    group.weights.push_back(weight);
    group.means.push_back(both.mean);
    group.squares.push_back(both.square);
  }
  const at::Tensor& any = weights.begin()->second;
  steps_ = at::full({}, static_cast<double>(steps), any.options().requires_grad(false));
}

std::vector<at::Tensor> AdamW::gradients(const Group& group) const {
  std::vector<at::Tensor> out;
  out.reserve(group.weights.size());
  for (const at::Tensor& weight : group.weights) out.push_back(weight.grad());
  return out;
}

bool AdamW::gradients_are_finite() const {
  const at::NoGradGuard no_grad;
  for (const Group& group : groups_) {
    if (!at::isfinite(at::stack(at::_foreach_norm(gradients(group))).sum()).item<bool>()) return false;
  }
  return true;
}

void AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  steps_.add_(1);
  for (Group& group : groups_) {
    const std::vector<at::Tensor> steps(group.weights.size(), steps_);
    at::_fused_adamw_(group.weights, gradients(group), group.means, group.squares, {}, steps, learning_rate,
                      constants_.beta1, constants_.beta2, group.decay, constants_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
  clear_gradients();
}

void AdamW::clear_gradients() {
  for (Group& group : groups_) {
    for (at::Tensor& weight : group.weights) weight.mutable_grad().reset();
  }
}

}  // namespace clipn
