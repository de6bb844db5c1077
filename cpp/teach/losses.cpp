#include "teach/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softplus.h>

namespace clipn {

Losses losses(const at::Tensor& f, const at::Tensor& g, const at::Tensor& h, double s, const at::Tensor& negative) {
  const at::Tensor z = s * at::matmul(f, (g - h).t());
  const at::Tensor yes = at::softplus(-z.diagonal()).mean();
  const at::Tensor no = (at::softplus(z) * negative).sum() / negative.sum().clamp_min(1);
  const at::Tensor text = (2 - (2 - 2 * (g * h).sum(1) + 1e-4).sqrt()).mean();
  return {yes, no, text, 0.5 * (yes + no + text)};
}

}  // namespace clipn
