#include "model/export.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/isfinite.h>

#include <string>

#include "error.h"
#include "model/checkpoint.h"
#include "model/module_author.h"
#include "model/module_file.h"
#include "model/scratch.h"

namespace clipn {
namespace {

constexpr size_t kForgetEvery = size_t{64} << 20;  // bytes touched between two Scratch::forget()

at::ScalarType scalar_type(clipn_precision dtype) {
  switch (dtype) {
    case CLIPN_FP32:
      return at::kFloat;
    case CLIPN_FP16:
      return at::kHalf;
    case CLIPN_BF16:
      return at::kBFloat16;
    case CLIPN_INT8:
      break;
  }
  throw Error(CLIPN_INVALID_ARG, "dtype " + std::to_string(dtype) + " is none of fp32, fp16, bf16");
}

void check(const clipn_architecture& arch) {
  const auto heads_fit = [](uint32_t width, uint32_t heads) { return heads > 0 && width % heads == 0; };
  if (arch.patch_size == 0 || arch.image_size % arch.patch_size != 0) {
    throw Error(CLIPN_INVALID_ARG, "image size " + std::to_string(arch.image_size) +
                                       " is no multiple of the patch size " + std::to_string(arch.patch_size));
  }
  if (!heads_fit(arch.vision_width, arch.vision_heads) || !heads_fit(arch.text_width, arch.text_heads)) {
    throw Error(CLIPN_INVALID_ARG, "a tower's width is no multiple of its number of heads");
  }
  if (arch.vision_mlp == 0 || arch.text_mlp == 0) throw Error(CLIPN_INVALID_ARG, "a tower's MLP has no width");
}

/// Hands out weights in the stored precision; they lie in `scratch`.
class Weights {
 public:
  Weights(const CheckpointFile& checkpoint, const clipn_architecture& arch, at::ScalarType type, Scratch& scratch)
      : checkpoint_(checkpoint), arch_(arch), type_(type), scratch_(scratch) {}

  at::Tensor get(const std::string& name, const std::vector<int64_t>& shape) {
    at::Tensor weight = kept(name, shape);
    if (weight.numel() > 0) check_finite(name, weight);
    touched_ += weight.nbytes();
    if (touched_ >= kForgetEvery) {
      scratch_.forget();
      touched_ = 0;
    }
    return weight;
  }

 private:
  at::Tensor kept(const std::string& name, const std::vector<int64_t>& shape) {
    if (name == "positional_embedding_no")
      return scratch_.keep(with_mean_prompt(checkpoint_.get(name, shape)).to(type_));
    if (!checkpoint_.is_stored_as(name, shape, type_)) return scratch_.keep(checkpoint_.get(name, shape).to(type_));
    return scratch_.keep(
        type_, shape, [&](size_t offset, std::byte* out, size_t count) { checkpoint_.read(name, offset, out, count); });
  }

  /// P + mean_k prompt_no[k]: at inference the tower only ever needs the sum (spec 1.4).
  at::Tensor with_mean_prompt(const at::Tensor& positions) const {
    const std::vector<int64_t> shape = checkpoint_.shape("prompt_no");
    if (shape.empty() || shape[0] < 1) throw Error(CLIPN_CHECKPOINT, "prompt_no holds no map");
    const at::Tensor prompts = checkpoint_.get("prompt_no", {shape[0], arch_.context_length, arch_.text_width});
    return positions.to(at::kDouble) + prompts.to(at::kDouble).mean(0);
  }

  void check_finite(const std::string& name, const at::Tensor& weight) const {
    const auto [low, high] = at::aminmax(weight);
    if (at::isfinite(low.to(at::kFloat)).item<bool>() && at::isfinite(high.to(at::kFloat)).item<bool>()) return;
    throw Error(CLIPN_CHECKPOINT,
                "tensor " + name + " holds a NaN or an infinity when stored as " + c10::toString(type_));
  }

  const CheckpointFile& checkpoint_;
  const clipn_architecture& arch_;
  const at::ScalarType type_;
  Scratch& scratch_;
  size_t touched_ = 0;
};

}  // namespace

void export_model(const clipn_export_options& options) {
  const at::NoGradGuard no_grad;
  const clipn_architecture& arch = *options.architecture;
  check(arch);
  const CheckpointFile checkpoint(options.checkpoint, options.tensors, options.tensor_count);
  Scratch scratch(options.target);
  Weights weights(checkpoint, arch, scalar_type(options.dtype), scratch);
  const Towers towers = {.text = options.image_only == 0,
                         .text_no = options.image_only == 0 && checkpoint.has("prompt_no")};
  const torch::jit::Module module = author_module(
      arch, towers,
      [&](const std::string& name, const std::vector<int64_t>& shape) { return weights.get(name, shape); });
  torch::jit::ExtraFilesMap extra_files = {{"clipn.json", options.clipn_json}};
  if (options.tokenizer_json != nullptr && *options.tokenizer_json != '\0') {
    extra_files.emplace("tokenizer.json", options.tokenizer_json);
  }
  save_module(module, options.target, extra_files, [&] { scratch.forget(); });
}

}  // namespace clipn
