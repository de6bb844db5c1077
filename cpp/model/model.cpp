#include "model/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/python/update_graph_executor_opt.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <array>
#include <cstring>
#include <utility>

#include "cuda/open.h"
#include "cuda/plugin.h"
#include "error.h"
#include "extent.h"
#include "image/resize.h"
#include "model/module_file.h"
#include "model/normalise.h"
#include "model/run_method.h"
#include "tower/gemm.h"
#include "tower/pack.h"
#include "tower/tasks.h"

namespace clipn {
namespace {

struct Method {
  const char* name;
  uint32_t bit;
};

constexpr std::array<Method, 4> kMethods{{
    {"encode_image", CLIPN_ENCODE_IMAGE},
    {"encode_image_patches", CLIPN_ENCODE_IMAGE_PATCHES},
    {"encode_text_yes", CLIPN_ENCODE_TEXT_YES},
    {"encode_text_no", CLIPN_ENCODE_TEXT_NO},
}};

constexpr uint32_t kTextMethods = CLIPN_ENCODE_TEXT_YES | CLIPN_ENCODE_TEXT_NO;

// Of the image tower; labels are encoded in fp32.
at::ScalarType arithmetic_type(clipn_precision precision, clipn_device device) {
  if (precision == CLIPN_FP16 && device == CLIPN_CUDA) return at::kHalf;
  if (device == CLIPN_CUDA && precision != CLIPN_FP32 && precision != CLIPN_BF16) {
    throw Error(CLIPN_INVALID_ARG, "precision on a GPU is fp32, bf16 or fp16");
  }
  switch (precision) {
    case CLIPN_FP32:
      return at::kFloat;
    case CLIPN_BF16:
      return at::kBFloat16;
    case CLIPN_INT8:
      if (!int8_absence().empty()) throw Error(CLIPN_INVALID_ARG, "precision int8: " + int8_absence());
      return at::kFloat;
    default:
      throw Error(CLIPN_INVALID_ARG, "precision on a CPU is fp32, bf16 or int8");
  }
}

at::Tensor pixels_to_tensor(const clipn_image_batch& batch) {
  const auto table = normalisation_table(batch);
  const auto plane = static_cast<int64_t>(batch.side) * batch.side;
  auto tensor = at::empty({batch.n, 3, batch.side, batch.side}, at::kFloat);
  auto* out = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < batch.n; ++i) {
    const uint8_t* in = batch.pixels + i * plane * 3;
    for (size_t c = 0; c < 3; ++c, out += plane) {
      for (int64_t p = 0; p < plane; ++p) out[p] = table[c][in[p * 3 + c]];
    }
  }
  return tensor;
}

at::Tensor call(const torch::jit::Module& module, const char* method, at::Tensor input) {
  const c10::IValue result = run_method(module, method, std::move(input));
  if (!result.isTensor()) throw Error(CLIPN_MODEL_CONTRACT, std::string(method) + " did not return a tensor");
  return result.toTensor();
}

void copy_rows(const at::Tensor& rows, const char* method, int64_t n, int64_t d, float* out) {
  if (rows.dim() != 2 || rows.size(0) != n || rows.size(1) != d) {
    throw Error(CLIPN_MODEL_CONTRACT, std::string(method) + " returned shape " + c10::str(rows.sizes()) +
                                          ", expected [" + std::to_string(n) + ", " + std::to_string(d) + "]");
  }
  const auto dense = rows.to(at::kFloat).contiguous();
  // Wide enough for rows that were normalised in bf16; NaN fails too.
  if (!(dense.square().sum(1) - 1).abs().lt(0.05).all().item<bool>()) {
    throw Error(CLIPN_MODEL_CONTRACT, std::string(method) + " returned a row that is not of unit length");
  }
  std::memcpy(out, dense.const_data_ptr<float>(), static_cast<size_t>(n * d) * sizeof(float));
}

void require_patches(const at::Tensor& patches, const char* method, at::IntArrayRef expected) {
  if (patches.sizes() == expected) return;
  throw Error(CLIPN_MODEL_CONTRACT, std::string(method) + " returned patches of shape " + c10::str(patches.sizes()) +
                                        ", expected " + c10::str(expected));
}

std::pair<at::Tensor, at::Tensor> two_tensors(const c10::IValue& value, const char* method) {
  if (value.isTuple()) {
    const auto& elements = value.toTupleRef().elements();
    if (elements.size() == 2 && elements[0].isTensor() && elements[1].isTensor()) {
      return {elements[0].toTensor(), elements[1].toTensor()};
    }
  }
  throw Error(CLIPN_MODEL_CONTRACT, std::string(method) + " did not return two tensors");
}

}  // namespace

Model::Model(const std::string& path, clipn_precision precision, clipn_device device, bool image_only)
    : device_(device), dtype_(arithmetic_type(precision, device)) {
  torch::jit::ExtraFilesMap extra{{"clipn.json", ""}, {"tokenizer.json", ""}};
  module_ = std::make_unique<torch::jit::Module>(load_module(path, extra));
  clipn_json_ = std::move(extra["clipn.json"]);
  tokenizer_json_ = std::move(extra["tokenizer.json"]);
  for (const auto& [name, bit] : kMethods) {
    if (module_->find_method(name)) methods_ |= bit;
  }
  if ((methods_ & CLIPN_ENCODE_IMAGE) == 0) {
    throw Error(CLIPN_MODEL_CONTRACT, path + " has no method encode_image");
  }
  if (image_only) methods_ &= ~kTextMethods;
  // The profiling executor re-specialises graphs in the first calls, which costs more than it gains here.
  torch::jit::getExecutorMode() = false;
  module_->eval();
  const bool has_text = (methods_ & kTextMethods) != 0;
  towers_ = device == CLIPN_CUDA ? cuda_plugin().open_towers(*module_, precision, has_text)
                                 : pack_towers(*module_, precision, image_only);
  if (towers_) {
    module_.reset();  // the packed weights are all that is needed
#if defined(__GLIBC__)
    malloc_trim(0);  // the heap would keep what the file's weights took: as much as the packed ones
#endif
  } else if (precision == CLIPN_INT8) {
    throw Error(CLIPN_MODEL_CONTRACT,
                path +
                    " is no model that `clipn-native export` wrote, or has sizes that the kernels do not take: it runs "
                    "as it is, in fp32 or bf16, not in int8");
  } else {
    // A program that we did not write cannot be parted into towers: two of it, to have the labels in fp32.
    if (has_text && dtype_ != at::kFloat) {
      text_module_ = std::make_unique<torch::jit::Module>(module_->deepcopy());
      text_module_->to(at::kFloat);
    }
    module_->to(dtype_);
  }
}

Model::~Model() = default;

void Model::require(const char* method, uint32_t bit) const {
  if ((methods_ & bit) == 0) throw Error(CLIPN_MODEL_CONTRACT, std::string("the model has no method ") + method);
}

clipn_image_batch Model::ready(const clipn_image_batch& batch, std::vector<uint8_t>* pixels) const {
  if (batch.n < 1 || batch.side < 1) throw Error(CLIPN_INVALID_ARG, "an image batch needs n >= 1 and side >= 1");
  if (!fits_memory({batch.n, batch.side, batch.side, 3}, sizeof(float)))
    throw Error(CLIPN_INVALID_ARG, "an image batch of n " + std::to_string(batch.n) + " and side " +
                                       std::to_string(batch.side) + " is too large");
  if (batch.images == nullptr || device_ == CLIPN_CUDA) return batch;
  const size_t each = size_t{batch.side} * batch.side * 3;
  pixels->resize(static_cast<size_t>(batch.n) * each);
  for_each_task(batch.n,
                [&](int64_t i, int64_t) { resize_crop(batch.images[i], batch.side, pixels->data() + i * each); });
  clipn_image_batch out = batch;
  out.images = nullptr;
  out.pixels = pixels->data();
  return out;
}

void Model::encode_images(const clipn_image_batch& images, int64_t d, float* features) {
  std::vector<uint8_t> pixels;
  const clipn_image_batch batch = ready(images, &pixels);
  const c10::InferenceMode no_grad;
  require("encode_image", CLIPN_ENCODE_IMAGE);
  const at::Tensor rows =
      towers_ ? towers_->encode_images(batch) : call(*module_, "encode_image", pixels_to_tensor(batch).to(dtype_));
  copy_rows(rows, "encode_image", batch.n, d, features);
}

void Model::encode_image_patches(const clipn_image_batch& images, int64_t d, int64_t p, float* features,
                                 float* patches) {
  std::vector<uint8_t> pixels;
  const clipn_image_batch batch = ready(images, &pixels);
  const c10::InferenceMode no_grad;
  const char* method = "encode_image_patches";
  require(method, CLIPN_ENCODE_IMAGE_PATCHES);
  const auto [rows, local] =
      towers_ ? towers_->encode_image_patches(batch)
              : two_tensors(run_method(*module_, method, pixels_to_tensor(batch).to(dtype_)), method);
  copy_rows(rows, method, batch.n, d, features);
  require_patches(local, method, {batch.n, p, d});
  copy_rows(local.flatten(0, 1), method, batch.n * p, d, patches);
}

void Model::encode_image_contributions(const clipn_image_batch& images, int64_t d, int64_t p, float* features,
                                       float* contributions) {
  std::vector<uint8_t> pixels;
  const clipn_image_batch batch = ready(images, &pixels);
  const c10::InferenceMode no_grad;
  const char* method = "encode_image_contributions";
  if (!towers_) throw Error(CLIPN_MODEL_CONTRACT, "the model runs as it is: what a patch contributes is not known");
  const auto [rows, parts] = towers_->encode_image_contributions(batch);
  copy_rows(rows, method, batch.n, d, features);
  require_patches(parts, method, {batch.n, p, d});
  const auto dense = parts.contiguous();
  std::memcpy(contributions, dense.const_data_ptr<float>(), dense.nbytes());
}

void Model::encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l, int64_t d, float* features) {
  if (n < 1 || l < 1) throw Error(CLIPN_INVALID_ARG, "a text batch needs n >= 1 and l >= 1");
  if (!fits_memory({n, l}, sizeof(int64_t)))
    throw Error(CLIPN_INVALID_ARG,
                "a text batch of n " + std::to_string(n) + " and l " + std::to_string(l) + " is too large");
  const c10::InferenceMode no_grad;
  const bool yes = tower == CLIPN_TEXT_YES;
  const char* method = yes ? "encode_text_yes" : "encode_text_no";
  require(method, yes ? CLIPN_ENCODE_TEXT_YES : CLIPN_ENCODE_TEXT_NO);
  if (towers_) {
    copy_rows(towers_->encode_text(tower, ids, n, l), method, n, d, features);
    return;
  }
  // The copy is the model's own: the caller's buffer is read-only to us.
  auto input = at::empty({n, l}, at::kLong);
  std::memcpy(input.mutable_data_ptr<int64_t>(), ids, static_cast<size_t>(n * l) * sizeof(int64_t));
  copy_rows(call(text_module_ ? *text_module_ : *module_, method, std::move(input)), method, n, d, features);
}

void Model::run_image_linears(int64_t n) {
  if (n < 1) throw Error(CLIPN_INVALID_ARG, "run_image_linears needs n >= 1");
  if (!towers_) throw Error(CLIPN_MODEL_CONTRACT, "the model runs as it is: its linears cannot be run alone");
  const c10::InferenceMode no_grad;
  towers_->run_image_linears(n);
}

}  // namespace clipn
