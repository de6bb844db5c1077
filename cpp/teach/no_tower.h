#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "clipn/core.h"

namespace clipn {

/// Returns the tensor of that published name, checked to have that shape.
using TensorSource = std::function<at::Tensor(const std::string& name, const std::vector<int64_t>& shape)>;

/// The no tower with its K prompt maps, as trained (spec 1.4). The weights are float32 whatever the arithmetic is;
/// matrix products run in `arithmetic`, sums over a row (LayerNorm, residuals, the final norm) in float32.
/// For inference the same tower is a program of a model file: model/module_author.cpp.
class NoTower {
 public:
  NoTower(const clipn_architecture& architecture, uint32_t prompts, const TensorSource& source, at::Device device,
          at::ScalarType arithmetic);

  /// By published name; each requires its gradient.
  const std::map<std::string, at::Tensor>& weights() const { return weights_; }

  /// ids int64 [n, l], l at most the context; maps int64 [n] in 0 ... K: the prompt map of each text, K being the mean
  /// of all. Returns unit rows, float32 [n, D], with a graph behind them where gradients are on.
  at::Tensor encode(const at::Tensor& ids, const at::Tensor& maps) const;

 private:
  const at::Tensor& weight(const std::string& name) const { return weights_.at(name); }
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor linear(const at::Tensor& x, const std::string& weight_name, const std::string& bias_name) const;
  at::Tensor attention(const at::Tensor& x, const std::string& name) const;
  at::Tensor mlp(const at::Tensor& x, const std::string& name) const;

  clipn_architecture arch_;
  at::ScalarType arithmetic_;
  std::map<std::string, at::Tensor> weights_;
};

}  // namespace clipn
