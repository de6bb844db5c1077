#include "tower/sample.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>

namespace clipn {
namespace {

at::Tensor rows_of(const at::Tensor& x) { return x.flatten(0, 1).to(at::kFloat); }

// Uniform in [-1, 1). Not by a distribution of the standard library, which differ.
at::Tensor noise(at::IntArrayRef sizes, std::mt19937& bits) {
  at::Tensor all = at::empty(sizes, at::kFloat);
  float* to = all.mutable_data_ptr<float>();
  for (int64_t i = 0; i < all.numel(); ++i) to[i] = static_cast<float>(static_cast<int32_t>(bits())) * 0x1p-31F;
  return all;
}

}  // namespace

at::Tensor noise_pictures(int64_t n, int64_t side) {
  std::mt19937 bits(19);
  at::Tensor pictures = at::zeros({n, 3, side, side}, at::kFloat);
  for (int64_t squares = 2; squares <= side; squares *= 2) {
    const at::Tensor grey = noise({n, 1, squares, squares}, bits), colours = noise({n, 3, squares, squares}, bits);
    pictures += at::upsample_bilinear2d(grey + 0.5 * colours, {side, side}, /*align_corners=*/false);
  }
  return pictures / pictures.std();
}

Sample::Sample(at::Tensor tokens, int64_t heads, cpu::Activation activation, at::ScalarType type)
    : tokens_(std::move(tokens)), heads_(heads), activation_(activation), type_(type) {}

at::Tensor Sample::normed(const Norm& norm) const {
  return at::layer_norm(tokens_, norm.weight.sizes(), norm.weight, norm.bias).to(type_);
}

at::Tensor Sample::linear(const Dense& dense, const at::Tensor& x) const {
  return at::linear(x, dense.weight.to(type_), dense.bias.to(type_));
}

// Heads may be wider than width / heads, by zeros.
at::Tensor Sample::attended(const at::Tensor& qkv) const {
  const int64_t n = qkv.size(0), length = qkv.size(1), width = tokens_.size(2);
  const at::Tensor parts = qkv.reshape({n, length, 3, heads_, -1}).permute({2, 0, 3, 1, 4});
  const double scale = 1 / std::sqrt(static_cast<double>(width) / static_cast<double>(heads_));
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, 0, false, scale)
      .transpose(1, 2)
      .reshape({n, length, -1});
}

at::Tensor Sample::activated(const at::Tensor& hidden) const {
  return activation_ == cpu::Activation::kQuickGelu ? hidden * at::sigmoid(1.702 * hidden) : at::gelu(hidden);
}

BlockInputs Sample::through(const Block<Dense>& block) {
  const at::Tensor before = normed(block.ln_1);
  const at::Tensor mixed = attended(linear(block.qkv, before));
  tokens_ = tokens_ + linear(block.out, mixed);
  const at::Tensor between = normed(block.ln_2);
  const at::Tensor hidden = activated(linear(block.fc, between));
  tokens_ = tokens_ + linear(block.proj, hidden);
  return {.qkv = rows_of(before), .out = rows_of(mixed), .fc = rows_of(between), .proj = rows_of(hidden)};
}

}  // namespace clipn
