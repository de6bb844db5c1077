#include "teach/no_tower.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>

#include "teach/attention.h"
#include "teach/linear.h"

namespace clipn {
namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes shapes(const clipn_architecture& arch, int64_t prompts) {
  const int64_t width = arch.text_width, hidden = arch.text_mlp;
  Shapes out = {
      {"token_embedding_no.weight", {arch.vocab_size, width}},
      {"positional_embedding_no", {arch.context_length, width}},
      {"prompt_no", {prompts, arch.context_length, width}},
      {"ln_final_no.weight", {width}},
      {"ln_final_no.bias", {width}},
      {"text_projection_no", {width, arch.embed_dim}},
  };
  for (uint32_t i = 0; i < arch.text_layers; ++i) {
    const std::string block = "transformer_no.resblocks." + std::to_string(i) + ".";
    for (const char* norm : {"ln_1", "ln_2"}) {
      out[block + norm + ".weight"] = {width};
      out[block + norm + ".bias"] = {width};
    }
    out[block + "attn.in_proj_weight"] = {3 * width, width};
    out[block + "attn.in_proj_bias"] = {3 * width};
    out[block + "attn.out_proj.weight"] = {width, width};
    out[block + "attn.out_proj.bias"] = {width};
    out[block + "mlp.c_fc.weight"] = {hidden, width};
    out[block + "mlp.c_fc.bias"] = {hidden};
    out[block + "mlp.c_proj.weight"] = {width, hidden};
    out[block + "mlp.c_proj.bias"] = {width};
  }
  return out;
}

}  // namespace

NoTower::NoTower(const clipn_architecture& architecture, uint32_t prompts, const TensorSource& source,
                 at::Device device, at::ScalarType arithmetic)
    : arch_(architecture), arithmetic_(arithmetic) {
  for (const auto& [name, shape] : shapes(architecture, prompts)) {
    // A copy of its own: training changes it.
    at::Tensor weight = source(name, shape).to(at::TensorOptions(device).dtype(at::kFloat), false, /*copy=*/true);
    weights_.emplace(name, weight.requires_grad_(true));
  }
}

at::Tensor NoTower::norm(const at::Tensor& x, const std::string& name) const {
  return at::layer_norm(x, {x.size(-1)}, weight(name + ".weight"), weight(name + ".bias"), 1e-5);
}

at::Tensor NoTower::linear(const at::Tensor& x, const std::string& weight_name, const std::string& bias_name) const {
  return clipn::linear(x.to(arithmetic_), weight(weight_name).to(arithmetic_), weight(bias_name).to(arithmetic_));
}

at::Tensor NoTower::attention(const at::Tensor& x, const std::string& name) const {
  const int64_t n = x.size(0), l = x.size(1), width = x.size(2), heads = arch_.text_heads;
  const at::Tensor qkv = linear(x, name + "in_proj_weight", name + "in_proj_bias");
  const at::Tensor mixed = causal_attention(qkv.view({n, l, 3, heads, width / heads}));
  return linear(mixed, name + "out_proj.weight", name + "out_proj.bias");
}

at::Tensor NoTower::mlp(const at::Tensor& x, const std::string& name) const {
  const at::Tensor y = linear(x, name + "c_fc.weight", name + "c_fc.bias");
  const at::Tensor active = arch_.quick_gelu != 0 ? y * at::sigmoid(1.702 * y) : at::gelu(y);
  return linear(active, name + "c_proj.weight", name + "c_proj.bias");
}

at::Tensor NoTower::encode(const at::Tensor& ids, const at::Tensor& maps) const {
  const int64_t n = ids.size(0), l = ids.size(1);
  const at::Tensor prompts = weight("prompt_no").slice(1, 0, l);
  const at::Tensor choices = at::cat({prompts, prompts.mean(0, /*keepdim=*/true)});
  at::Tensor x = at::embedding(weight("token_embedding_no.weight"), ids) +
                 weight("positional_embedding_no").slice(0, 0, l) + choices.index_select(0, maps);
  for (uint32_t i = 0; i < arch_.text_layers; ++i) {
    const std::string block = "transformer_no.resblocks." + std::to_string(i) + ".";
    x = x + attention(norm(x, block + "ln_1"), block + "attn.").to(at::kFloat);
    x = x + mlp(norm(x, block + "ln_2"), block + "mlp.").to(at::kFloat);
  }
  // LayerNorm works row by row, so the row that is read out, the end token's, is taken first.
  x = x.index({at::arange(n, ids.options()), ids.argmax(1)});
  x = at::matmul(norm(x, "ln_final_no").to(arithmetic_), weight("text_projection_no").to(arithmetic_)).to(at::kFloat);
  return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace clipn
