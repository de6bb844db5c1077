#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace clipn {

/// AdamW with libtorch's fused step, over two groups: tensors of two or more dimensions decay, the others (biases and
/// LayerNorms) do not (spec 5.3).
class AdamW {
 public:
  struct Constants {
    double beta1, beta2, epsilon, weight_decay;
  };
  /// Running means of the gradient and of its square.
  struct Moments {
    at::Tensor mean, square;
  };

  /// `moments` by name as the weights; `steps` that have been taken to get them.
  AdamW(const std::map<std::string, at::Tensor>& weights, std::map<std::string, Moments> moments,
        const Constants& constants, uint64_t steps);

  /// Whether every gradient is finite.
  bool gradients_are_finite() const;
  /// Changes the weights by their gradients and clears these.
  void step(double learning_rate);
  void clear_gradients();

  const std::map<std::string, Moments>& moments() const { return moments_; }

 private:
  struct Group {
    std::vector<at::Tensor> weights, means, squares;
    double decay = 0;
  };
  std::vector<at::Tensor> gradients(const Group& group) const;

  Constants constants_;
  std::map<std::string, Moments> moments_;
  Group groups_[2];
  at::Tensor steps_;  // float scalar, as the fused step wants it
};

}  // namespace clipn
