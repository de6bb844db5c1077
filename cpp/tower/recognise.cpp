// How a module is recognised: its sizes are read off its weights, the module that export would write for these sizes is
// written again without weights, and the two must print the same programs. So whatever the file computes otherwise, by
// another exporter or a later version of ours, is left alone.
#include "tower/recognise.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/python_print.h>

#include <map>
#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "model/module_author.h"
#include "tower/image_tower.h"
#include "tower/text_tower.h"

namespace clipn {
namespace {

using torch::jit::Module;

bool has_method(const Module& module, const char* name) { return module.find_method(name).has_value(); }

Module child(const Module& module, const std::string& name) { return module.attr(name).toModule(); }

at::Tensor weight(const Module& module, const std::string& name) { return module.attr(name).toTensor(); }

// The weight, which the module loses: the whole model need not be in memory twice.
at::Tensor take(Module module, const std::string& name) {
  at::Tensor taken = weight(module, name);
  module.setattr(name, at::empty({0}, at::TensorOptions(at::kFloat)));
  return taken;
}

uint32_t depth(const Module& transformer) {
  return static_cast<uint32_t>(child(transformer, "resblocks").children().size());
}

// The heads that `method` passes on: the second argument of its call of transformer.forward(x, heads, causal).
uint32_t heads_of(const Module& module, const char* method) {
  for (torch::jit::Node* node : module.get_method(method).graph()->nodes()) {
    if (node->kind() != c10::prim::CallMethod || node->inputs().size() != 4) continue;
    const auto heads = torch::jit::toIValue(node->input(2));
    if (heads.has_value() && heads->isInt()) return static_cast<uint32_t>(heads->toInt());
  }
  return 0;
}

clipn_architecture architecture_of(const Module& module, bool with_text) {
  clipn_architecture a = {};
  a.size = sizeof(a);
  const Module visual = child(module, "visual");
  const at::Tensor conv1 = weight(child(visual, "conv1"), "weight");
  const auto size = [](int64_t value) { return static_cast<uint32_t>(value); };
  a.vision_width = size(conv1.size(0));
  a.patch_size = size(conv1.size(2));
  uint32_t grid = 0;
  while ((grid + 1) * (grid + 1) < weight(visual, "positional_embedding").size(0)) ++grid;
  a.image_size = grid * a.patch_size;
  a.embed_dim = size(weight(visual, "proj").size(1));
  a.vision_layers = depth(child(visual, "transformer"));
  a.vision_heads = heads_of(visual, "tokens");
  if (with_text) {
    a.vocab_size = size(weight(child(module, "token_embedding"), "weight").size(0));
    a.text_width = size(weight(module, "text_projection").size(0));
    a.context_length = size(weight(module, "positional_embedding").size(0));
    a.text_layers = depth(child(module, "transformer"));
    a.text_heads = heads_of(module, "encode_text_yes");
  }
  return a;
}

// Numbered local names by order of appearance in their function: printing numbers them otherwise each time. Attributes
// follow a dot and keep their names.
std::string with_plain_names(const std::string& program) {
  static const std::regex numbered("(^|[^.\\w])([a-z_]\\w*\\d)(?!\\w)|\\bdef ");
  std::string out;
  std::map<std::string, size_t> names;
  auto last = program.begin();
  for (std::sregex_iterator match(program.begin(), program.end(), numbered), end; match != end; ++match) {
    out.append(last, (*match)[0].first);
    last = (*match)[0].second;
    if (!(*match)[2].matched) {
      names.clear();
      out += "def ";
      continue;
    }
    const size_t number = names.emplace(match->str(2), names.size()).first->second;
    out += match->str(1) + "v" + std::to_string(number);
  }
  return out.append(last, program.end());
}

// The programs of a module as text; nothing for one with constant tensors, which export never writes.
std::optional<std::map<std::string, std::string>> programs(const Module& module) {
  torch::jit::ExtraFilesMap sources;
  std::vector<c10::IValue> constants;
  torch::jit::jitModuleToPythonCodeAndConstants(module, &sources, &constants);
  if (!constants.empty()) return std::nullopt;
  std::map<std::string, std::string> out;
  for (const auto& [name, text] : sources) out.emplace(name, with_plain_names(text));
  return out;
}

// Sizes that no program mentions are checked here: the packed towers would read past a smaller weight.
bool same_weights(const Module& module, const Module& authored) {
  const auto theirs = module.named_parameters(), ours = authored.named_parameters();
  if (theirs.size() != ours.size()) return false;
  auto their = theirs.begin();
  for (const auto& our : ours) {
    const bool same = (*their).name == our.name && (*their).value.sizes() == our.value.sizes();
    if (!same || !(*their).value.is_floating_point()) return false;
    ++their;
  }
  return true;
}

// What the module computes, or nothing when it is not what export writes.
std::optional<clipn_architecture> recognise(const Module& module) {
  const bool text = has_method(module, "encode_text_yes"), text_no = has_method(module, "encode_text_no");
  try {
    clipn_architecture a = architecture_of(module, text);
    // A weight of the right shape without its bytes: programs do not depend on them.
    const WeightSource shape_only = [](const std::string&, const std::vector<int64_t>& shape) {
      return at::zeros({1}).expand(shape);
    };
    const auto theirs = programs(module);
    for (const uint32_t quick_gelu : {0U, 1U}) {
      a.quick_gelu = quick_gelu;
      const Module authored = author_module(a, {.text = text, .text_no = text_no}, shape_only);
      if (theirs.has_value() && theirs == programs(authored) && same_weights(module, authored)) return a;
    }
  } catch (const std::exception&) {
    // A part that every exported module has is missing: it is another one.
  }
  return std::nullopt;
}

// The row kernels take whole panels of a head-by-head layout; other sizes stay with libtorch.
bool fits(uint32_t width, uint32_t heads) {
  return heads > 0 && width % kPanel == 0 && width % heads == 0 && width / heads % 16 == 0;
}

Norm norm(const Module& module, const std::string& name) {
  const Module m = child(module, name);
  return Norm(take(m, "weight"), take(m, "bias"));
}

template <typename T>
PackedLinear<T> linear(const Module& module, const std::string& name) {
  const Module m = child(module, name);
  return PackedLinear<T>(take(m, "weight"), take(m, "bias"));
}

template <typename T>
Transformer<T> transformer(const Module& module, uint32_t heads, uint32_t quick_gelu, bool causal) {
  const Module resblocks = child(module, "resblocks");
  std::vector<Block<T>> blocks;
  for (uint32_t i = 0; i < depth(module); ++i) {
    const Module block = child(resblocks, std::to_string(i));
    const Module attention = child(block, "attn"), mlp = child(block, "mlp");
    blocks.push_back({.ln_1 = norm(block, "ln_1"),
                      .qkv = PackedLinear<T>(take(attention, "in_proj_weight"), take(attention, "in_proj_bias")),
                      .out = linear<T>(attention, "out_proj"),
                      .ln_2 = norm(block, "ln_2"),
                      .fc = linear<T>(mlp, "c_fc"),
                      .proj = linear<T>(mlp, "c_proj")});
  }
  return Transformer<T>(std::move(blocks), heads,
                        quick_gelu != 0 ? cpu::Activation::kQuickGelu : cpu::Activation::kGelu, causal);
}

at::Tensor fp32(const at::Tensor& tensor) { return tensor.to(at::kFloat).contiguous(); }

template <typename T>
ImageTower<T> image_tower(const Module& visual, const clipn_architecture& a) {
  const at::Tensor conv1 = take(child(visual, "conv1"), "weight");
  ImageStem<T> stem{.side = a.image_size,
                    .patch = a.patch_size,
                    .conv1 = PackedLinear<T>(conv1.reshape({conv1.size(0), -1}), {}),
                    .class_embedding = fp32(take(visual, "class_embedding")),
                    .positional_embedding = fp32(take(visual, "positional_embedding")),
                    .ln_pre = norm(visual, "ln_pre"),
                    .ln_post = norm(visual, "ln_post"),
                    .proj = PackedLinear<T>(take(visual, "proj").t(), {})};
  return ImageTower<T>(std::move(stem),
                       transformer<T>(child(visual, "transformer"), a.vision_heads, a.quick_gelu, false));
}

template <typename T>
TextTower<T> text_tower(const Module& module, const clipn_architecture& a, const std::string& no) {
  TextStem<T> stem{.token_embedding = fp32(take(child(module, "token_embedding" + no), "weight")),
                   .positional_embedding = fp32(take(module, "positional_embedding" + no)),
                   .ln_final = norm(module, "ln_final" + no),
                   .projection = PackedLinear<T>(take(module, "text_projection" + no).t(), {})};
  return TextTower<T>(std::move(stem),
                      transformer<T>(child(module, "transformer" + no), a.text_heads, a.quick_gelu, true));
}

at::Tensor unit(const at::Tensor& rows) {
  return rows / at::linalg_vector_norm(rows, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12);
}

template <typename T>
class TypedTowers : public PackedTowers {
 public:
  TypedTowers(const Module& module, const clipn_architecture& a) : image_(image_tower<T>(child(module, "visual"), a)) {
    if (has_method(module, "encode_text_yes")) yes_.emplace(text_tower<T>(module, a, ""));
    if (has_method(module, "encode_text_no")) no_.emplace(text_tower<T>(module, a, "_no"));
  }

  at::Tensor encode_images(const clipn_image_batch& batch) override { return unit(image_.encode(batch)); }

  std::pair<at::Tensor, at::Tensor> encode_image_patches(const clipn_image_batch& batch) override {
    const at::Tensor tokens = unit(image_.encode_tokens(batch));
    return {tokens.select(1, 0), tokens.slice(1, 1)};
  }

  at::Tensor encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l) override {
    return unit((tower == CLIPN_TEXT_YES ? yes_ : no_).value().encode(ids, n, l));
  }

  void run_image_linears(int64_t n) override { image_.run_linears(n); }

 private:
  ImageTower<T> image_;
  std::optional<TextTower<T>> yes_, no_;
};

}  // namespace

std::unique_ptr<PackedTowers> rewrite(Module& module, clipn_precision precision) {
  if (!(precision == CLIPN_BF16 ? can_multiply<uint16_t>() : can_multiply<float>())) return nullptr;
  const std::optional<clipn_architecture> a = recognise(module);
  if (!a.has_value() || !fits(a->vision_width, a->vision_heads)) return nullptr;
  if (a->text_layers > 0 && !fits(a->text_width, a->text_heads)) return nullptr;
  if (3 * a->patch_size * a->patch_size % 2 != 0) return nullptr;  // bf16 weights are packed in pairs
  if (precision == CLIPN_BF16) return std::make_unique<TypedTowers<uint16_t>>(module, *a);
  return std::make_unique<TypedTowers<float>>(module, *a);
}

}  // namespace clipn
