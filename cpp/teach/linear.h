#pragma once

#include <ATen/core/Tensor.h>

namespace clipn {

/// y = x W^T + b with gradients for all three, as at::linear. In float32 on a CPU the products run on oneDNN where
/// libtorch has it: at::linear takes MKL, which on AMD's CPUs has half its speed.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace clipn
