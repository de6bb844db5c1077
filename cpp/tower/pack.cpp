// The functions here drain what they pack: each weight leaves the module as it is copied, so that the whole model is
// never in memory twice.
#include "tower/pack.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tower/image_tower.h"
#include "tower/int8_linear.h"
#include "tower/module_parts.h"
#include "tower/recognise.h"
#include "tower/sample.h"
#include "tower/text_tower.h"

namespace clipn {
namespace {

using torch::jit::Module;

// Numbers of a packed head are a multiple of this: whole AVX-512 vectors of fp32 to the row kernels, and whole pairs of
// bf16, which the products take together.
constexpr int64_t kHeadStep = 16;

// Rows of the sample that int8 weights are rounded by, at least: more change the error by some percent.
constexpr int64_t kSampleRows = 400;

// Whether the kernels take a tower's blocks: there is one, and its rows are whole panels.
bool blocks_fit(uint32_t layers, uint32_t width, uint32_t heads) {
  return layers > 0 && heads > 0 && width % kPanel == 0 && width % heads == 0;
}

// bf16 weights are packed in pairs of inputs. A patch has 3 p^2 of them, an even number only when p is even. fp32 has
// no pairs and is asked all the same: whether a model's sizes fit does not depend on the precision.
bool patch_fits(uint32_t patch_size) { return patch_size % 2 == 0; }

bool fits(const Recognised& known) {
  const clipn_architecture& a = known.architecture;
  return blocks_fit(a.vision_layers, a.vision_width, a.vision_heads) && patch_fits(a.patch_size) &&
         (!known.text_towers.text || blocks_fit(a.text_layers, a.text_width, a.text_heads));
}

// Returns the weight and leaves an empty tensor in its place. A Module is a handle to an object: what this copy of it
// loses, every other has lost, const ones included.
at::Tensor drain_weight(Module module, const std::string& name) {
  at::Tensor drained = weight(module, name);
  module.setattr(name, at::empty({0}, at::TensorOptions(at::kFloat)));
  return drained;
}

Norm norm(const Module& module, const std::string& name) {
  const Module m = child(module, name);
  return Norm(drain_weight(m, "weight"), drain_weight(m, "bias"));
}

// With `count` zeros behind what there is along a dimension.
at::Tensor with_zeros(const at::Tensor& tensor, int64_t dimension, int64_t count) {
  if (count == 0) return tensor;
  std::vector<int64_t> pads(2 * (tensor.dim() - dimension), 0);  // before and after, from the last dimension on
  pads.back() = count;
  return at::constant_pad_nd(tensor, pads);
}

// q, k and v together, and what follows attention. Heads as wide as the kernels take them and whole panels together.
// The zeros add nothing to the logits of a head; in its values they stay zeros, and are multiplied by zeros.
template <typename Linear>
std::pair<Dense, Dense> attention(const Module& module, int64_t heads, Norm& before) {
  const Module out = child(module, "out_proj");
  const at::Tensor qkv = Linear::balance(before, drain_weight(module, "in_proj_weight"));
  const at::Tensor qkv_bias = drain_weight(module, "in_proj_bias");
  const at::Tensor out_weight = drain_weight(out, "weight");
  const int64_t width = out_weight.size(0), head = width / heads;
  int64_t packed = (head + kHeadStep - 1) / kHeadStep * kHeadStep;
  while (heads * packed % kPanel != 0) packed += kHeadStep;
  const int64_t inner = heads * packed, more = packed - head;
  return {{.weight = with_zeros(qkv.reshape({3, heads, head, width}), 2, more).reshape({3 * inner, width}),
           .bias = with_zeros(qkv_bias.reshape({3, heads, head}), 2, more).reshape({3 * inner})},
          {.weight = with_zeros(out_weight.reshape({width, heads, head}), 2, more).reshape({width, inner}),
           .bias = drain_weight(out, "bias")}};
}

// A hidden layer of whole panels, which the kernels write: what is added to it is 0, stays 0 in the activation, and is
// multiplied by 0.
template <typename Linear>
std::pair<Dense, Dense> mlp(const Module& module, Norm& before) {
  const Module fc = child(module, "c_fc"), proj = child(module, "c_proj");
  const at::Tensor fc_weight = Linear::balance(before, drain_weight(fc, "weight"));
  const int64_t more = (kPanel - fc_weight.size(0) % kPanel) % kPanel;
  return {{.weight = with_zeros(fc_weight, 0, more), .bias = with_zeros(drain_weight(fc, "bias"), 0, more)},
          {.weight = with_zeros(drain_weight(proj, "weight"), 1, more), .bias = drain_weight(proj, "bias")}};
}

template <typename Linear>
Block<Dense> dense_block(const Module& module, uint32_t heads) {
  Norm ln_1 = norm(module, "ln_1"), ln_2 = norm(module, "ln_2");
  auto [qkv, out] = attention<Linear>(child(module, "attn"), heads, ln_1);
  auto [fc, proj] = mlp<Linear>(child(module, "mlp"), ln_2);
  return {.ln_1 = std::move(ln_1),
          .qkv = std::move(qkv),
          .out = std::move(out),
          .ln_2 = std::move(ln_2),
          .fc = std::move(fc),
          .proj = std::move(proj)};
}

template <typename Linear>
constexpr bool kRounds = std::is_same_v<Linear, Int8Linear<float>> || std::is_same_v<Linear, Int8Linear<uint16_t>>;

// int8 weights are rounded by what the sample brings to them.
template <typename Linear>
Block<Linear> packed(const Block<Dense>& block, std::optional<Sample>& sample) {
  std::vector<Rounding> by;
  if constexpr (kRounds<Linear>) {
    const BlockInputs inputs = sample.value().through(block);
    by = roundings_of({inputs.qkv, inputs.out, inputs.fc, inputs.proj});
  }
  const auto linear = [&by](const Dense& dense, [[maybe_unused]] size_t i) {
    if constexpr (kRounds<Linear>) {
      return Linear(dense, by[i]);
    } else {
      return Linear(dense);
    }
  };
  return {.ln_1 = block.ln_1,
          .qkv = linear(block.qkv, 0),
          .out = linear(block.out, 1),
          .ln_2 = block.ln_2,
          .fc = linear(block.fc, 2),
          .proj = linear(block.proj, 3)};
}

template <typename T, typename Linear>
Transformer<T, Linear> transformer(const Module& module, uint32_t layers, uint32_t heads, cpu::Activation activation,
                                   Attention sees, std::optional<Sample> sample = {}) {
  const Module resblocks = child(module, "resblocks");
  std::vector<Block<Linear>> blocks;
  for (uint32_t i = 0; i < layers; ++i) {
    blocks.push_back(packed<Linear>(dense_block<Linear>(child(resblocks, std::to_string(i)), heads), sample));
  }
  return Transformer<T, Linear>(std::move(blocks), heads, activation, sees);
}

cpu::Activation activation_of(const clipn_architecture& a) {
  return a.quick_gelu != 0 ? cpu::Activation::kQuickGelu : cpu::Activation::kGelu;
}

at::Tensor fp32(const at::Tensor& tensor) { return tensor.to(at::kFloat).contiguous(); }

// Some pictures of noise as they enter the blocks.
template <typename T>
at::Tensor noise_tokens(const ImageStem<T>& stem, const at::Tensor& conv1) {
  const int64_t length = stem.positional_embedding.size(0), n = (kSampleRows + length - 1) / length;
  const at::Tensor patches = at::conv2d(noise_pictures(n, stem.side), fp32(conv1), {}, stem.patch).flatten(2);
  const at::Tensor class_tokens = stem.class_embedding.expand({n, 1, -1});
  const at::Tensor tokens = at::cat({class_tokens, patches.transpose(1, 2)}, 1) + stem.positional_embedding;
  return at::layer_norm(tokens, stem.ln_pre.weight.sizes(), stem.ln_pre.weight, stem.ln_pre.bias);
}

template <typename T, typename Linear>
ImageTower<T, Linear> image_tower(const Module& visual, const clipn_architecture& a) {
  const at::NoGradGuard no_grad;
  const at::Tensor conv1 = drain_weight(child(visual, "conv1"), "weight");
  ImageStem<T> stem{.side = a.image_size,
                    .patch = a.patch_size,
                    .conv1 = PackedLinear<T>({.weight = conv1.reshape({conv1.size(0), -1}), .bias = {}}),
                    .class_embedding = fp32(drain_weight(visual, "class_embedding")),
                    .positional_embedding = fp32(drain_weight(visual, "positional_embedding")),
                    .ln_pre = norm(visual, "ln_pre"),
                    .ln_post = norm(visual, "ln_post"),
                    .proj = PackedLinear<T>({.weight = drain_weight(visual, "proj").t(), .bias = {}})};
  std::optional<Sample> sample;
  if constexpr (kRounds<Linear>) {
    sample.emplace(noise_tokens(stem, conv1), a.vision_heads, activation_of(a),
                   c10::CppTypeToScalarType<Element<T>>::value);
  }
  return ImageTower<T, Linear>(std::move(stem),
                               transformer<T, Linear>(child(visual, "transformer"), a.vision_layers, a.vision_heads,
                                                      activation_of(a), Attention::kFull, std::move(sample)));
}

template <typename T>
TextTower<T> text_tower(const Module& module, const clipn_architecture& a, const std::string& no) {
  TextStem<T> stem{
      .token_embedding = fp32(drain_weight(child(module, "token_embedding" + no), "weight")),
      .positional_embedding = fp32(drain_weight(module, "positional_embedding" + no)),
      .ln_final = norm(module, "ln_final" + no),
      .projection = PackedLinear<T>({.weight = drain_weight(module, "text_projection" + no).t(), .bias = {}})};
  return TextTower<T>(std::move(stem),
                      transformer<T, PackedLinear<T>>(child(module, "transformer" + no), a.text_layers, a.text_heads,
                                                      activation_of(a), Attention::kCausal));
}

at::Tensor length_of(const at::Tensor& rows) {
  return at::linalg_vector_norm(rows, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12);
}

at::Tensor unit(const at::Tensor& rows) { return rows / length_of(rows); }

// An image tower whose blocks multiply as Linear does, the rest in T. Labels are encoded once and meet every image:
// their towers are fp32, whatever T is.
template <typename T, typename Linear = PackedLinear<T>>
class TypedTowers : public PackedTowers {
 public:
  TypedTowers(const Module& module, const Recognised& known)
      : image_(image_tower<T, Linear>(child(module, "visual"), known.architecture)) {
    if (known.text_towers.text) yes_.emplace(text_tower<float>(module, known.architecture, ""));
    if (known.text_towers.text_no) no_.emplace(text_tower<float>(module, known.architecture, "_no"));
  }

  at::Tensor encode_images(const clipn_image_batch& batch) override { return unit(image_.encode(batch)); }

  std::pair<at::Tensor, at::Tensor> encode_image_patches(const clipn_image_batch& batch) override {
    const at::Tensor tokens = unit(image_.encode_tokens(batch));
    return {tokens.select(1, 0), tokens.slice(1, 1)};
  }

  std::pair<at::Tensor, at::Tensor> encode_image_contributions(const clipn_image_batch& batch) override {
    const auto [rows, tokens] = image_.encode_contributions(batch);
    return {unit(rows), tokens.slice(1, 1) / length_of(rows).unsqueeze(1)};
  }

  at::Tensor encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l) override {
    return unit((tower == CLIPN_TEXT_YES ? yes_ : no_).value().encode(ids, n, l));
  }

  void run_image_linears(int64_t n) override { image_.run_linears(n); }

 private:
  ImageTower<T, Linear> image_;
  std::optional<TextTower<float>> yes_, no_;
};

}  // namespace

std::unique_ptr<PackedTowers> pack_towers(Module& module, clipn_precision precision, bool image_only) {
  if (!can_multiply<float>()) return nullptr;
  std::optional<Recognised> known = recognise(module);
  if (!known.has_value()) return nullptr;
  if (image_only) known->text_towers = {};
  if (!fits(*known)) return nullptr;
  if (precision == CLIPN_FP32) return std::make_unique<TypedTowers<float>>(module, *known);
  if (precision == CLIPN_BF16) return std::make_unique<TypedTowers<uint16_t>>(module, *known);
  if (can_multiply<uint16_t>()) return std::make_unique<TypedTowers<uint16_t, Int8Linear<uint16_t>>>(module, *known);
  return std::make_unique<TypedTowers<float, Int8Linear<float>>>(module, *known);
}

}  // namespace clipn
