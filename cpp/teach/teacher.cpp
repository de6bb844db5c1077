#include "teach/teacher.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "error.h"
#include "extent.h"
#include "model/checkpoint.h"
#include "teach/losses.h"

namespace clipn {
namespace {

constexpr int64_t kBucket = 8;  // tokens: texts whose lengths round up to the same multiple go through together

at::ScalarType arithmetic(clipn_precision precision) {
  if (precision == CLIPN_FP32) return at::kFloat;
  if (precision == CLIPN_BF16) return at::kBFloat16;
  throw Error(CLIPN_INVALID_ARG, "precision of training is fp32 or bf16");
}

at::Device device_named(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (name != "cuda") throw Error(CLIPN_INVALID_ARG, "device " + name + " is neither cpu nor cuda");
  if (!at::hasCUDA()) throw Error(CLIPN_DEVICE_UNAVAILABLE, "this libtorch finds no CUDA device");
  return at::kCUDA;
}

/// A copy on the device: the caller's buffer is only lent.
template <typename T>
at::Tensor copied(const T* data, at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  return at::from_blob(const_cast<T*>(data), shape, at::TensorOptions(type)).to(device, type, false, /*copy=*/true);
}

at::Tensor indices(const std::vector<int64_t>& rows, at::Device device) {
  return copied(rows.data(), {static_cast<int64_t>(rows.size())}, at::kLong, device);
}

}  // namespace

Teacher::Teacher(const clipn_teacher_options& options)
    : arch_(*options.architecture),
      device_(device_named(options.device)),
      scale_(options.scale),
      prompts_(options.prompts),
      micro_batch_(options.micro_batch == 0 ? std::numeric_limits<int64_t>::max() : options.micro_batch) {
  if (arch_.text_heads == 0 || arch_.text_width % arch_.text_heads != 0) {
    throw Error(CLIPN_INVALID_ARG, "the text tower's width is no multiple of its number of heads");
  }
  if (arch_.text_mlp == 0) throw Error(CLIPN_INVALID_ARG, "the text tower's MLP has no width");
  if (prompts_ < 1) throw Error(CLIPN_INVALID_ARG, "prompts must be at least 1");
  const CheckpointFile checkpoint(options.checkpoint, options.tensors, options.tensor_count);
  const auto or_zeros = [&](const std::string& name, const std::vector<int64_t>& shape) {
    return checkpoint.has(name) ? checkpoint.get(name, shape) : at::zeros(shape);
  };
  tower_ = std::make_unique<NoTower>(
      arch_, options.prompts,
      [&](const std::string& name, const std::vector<int64_t>& shape) {
        // The one tensor of a CLIPN that no base has: it starts at zero (spec 1.9).
        return name == "prompt_no" ? or_zeros(name, shape) : checkpoint.get(name, shape);
      },
      device_, arithmetic(options.precision));
  std::map<std::string, AdamW::Moments> moments;
  for (const auto& entry : tower_->weights()) {
    // Plain references: a lambda cannot capture structured bindings in every compiler.
    const std::string& name = entry.first;
    const at::Tensor& weight = entry.second;
    const auto moment = [&](const char* which) {
      return or_zeros(which + name, weight.sizes().vec()).to(device_, at::kFloat, false, /*copy=*/true);
    };
    moments.emplace(name, AdamW::Moments{moment("exp_avg:"), moment("exp_avg_sq:")});
  }
  optimizer_ = std::make_unique<AdamW>(
      tower_->weights(), std::move(moments),
      AdamW::Constants{options.beta1, options.beta2, options.epsilon, options.weight_decay}, options.steps_taken);
}

void Teacher::check(const clipn_teacher_batch& batch) const {
  const auto fail = [](const std::string& text) { throw Error(CLIPN_INVALID_ARG, text); };
  if (batch.n < 2) fail("a batch needs two samples: the no loss compares images with other captions");
  if (!fits_memory({batch.n, std::max<int64_t>(batch.n, arch_.embed_dim)}, sizeof(float))) fail("a batch is too large");
  if (batch.l < 1 || batch.l > arch_.context_length) fail("a batch's texts do not fit the context");
  if (!std::isfinite(batch.learning_rate) || batch.learning_rate < 0) fail("learning_rate is no finite number from 0");
  const auto inside = [](const int64_t* values, int64_t count, int64_t most) {
    return std::all_of(values, values + count, [=](int64_t value) { return value >= 0 && value <= most; });
  };
  if (!inside(batch.ids, batch.n * batch.l, int64_t{arch_.vocab_size} - 1))
    fail("a token id is outside the vocabulary");
  if (!inside(batch.maps, batch.n, prompts_)) fail("a prompt map is outside 0 ... K");
}

std::vector<Teacher::Bucket> Teacher::buckets(const clipn_teacher_batch& batch) const {
  std::map<int64_t, std::vector<int64_t>> by_length;
  for (int64_t i = 0; i < batch.n; ++i) {
    const int64_t* row = batch.ids + i * batch.l;
    const int64_t length = std::max_element(row, row + batch.l) - row + 1;
    by_length[std::min(batch.l, (length + kBucket - 1) / kBucket * kBucket)].push_back(i);
  }
  std::vector<Bucket> out;
  for (const auto& [length, rows] : by_length) {
    for (size_t first = 0; first < rows.size();) {
      const size_t count = std::min<size_t>(rows.size() - first, micro_batch_);
      out.push_back({{rows.begin() + first, rows.begin() + first + count}, length});
      first += count;
    }
  }
  return out;
}

at::Tensor Teacher::encode(const Bucket& bucket, const at::Tensor& ids, const at::Tensor& maps) const {
  const at::Tensor rows = indices(bucket.rows, device_);
  return tower_->encode(ids.index_select(0, rows).slice(1, 0, bucket.length), maps.index_select(0, rows));
}

clipn_teacher_losses Teacher::step(const clipn_teacher_batch& batch) {
  check(batch);
  optimizer_->clear_gradients();  // of a step that was broken off
  const KeptMemory::Use use(memory_);
  const int64_t n = batch.n, d = arch_.embed_dim;
  const at::Tensor f = copied(batch.image, {n, d}, at::kFloat, device_);
  const at::Tensor g = copied(batch.yes, {n, d}, at::kFloat, device_);
  const at::Tensor ids = copied(batch.ids, {n, batch.l}, at::kLong, device_);
  const at::Tensor maps = copied(batch.maps, {n}, at::kLong, device_);
  at::Tensor negative;
  if (batch.groups == nullptr) {
    negative = 1 - at::eye(n, f.options());
  } else {
    const at::Tensor groups = copied(batch.groups, {n}, at::kLong, device_);
    negative = groups.unsqueeze(1).ne(groups.unsqueeze(0)).to(at::kFloat);
  }

  const std::vector<Bucket> parts = buckets(batch);
  std::vector<int64_t> order;
  for (const Bucket& part : parts) order.insert(order.end(), part.rows.begin(), part.rows.end());
  std::vector<int64_t> place(order.size());
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int64_t>(i);

  // With micro batches the rows are computed without a graph first, then once more, part by part, to carry the loss's
  // gradient on: the same gradient, and the activations of one part in memory.
  const bool whole = micro_batch_ >= n;
  std::vector<at::Tensor> rows;
  {
    const at::AutoGradMode with_graph(whole);
    for (const Bucket& part : parts) rows.push_back(encode(part, ids, maps));
  }
  at::Tensor h = at::cat(rows).index_select(0, indices(place, device_));
  rows.clear();
  if (!whole) h = h.detach().requires_grad_(true);

  const Losses loss = losses(f, g, h, scale_, negative);
  clipn_teacher_losses out = {sizeof(out),
                              0,
                              loss.yes.item<double>(),
                              loss.no.item<double>(),
                              loss.text.item<double>(),
                              loss.total.item<double>()};
  if (!std::isfinite(out.total)) return out;
  loss.total.backward();
  if (!whole) {
    for (const Bucket& part : parts)
      encode(part, ids, maps).backward(h.grad().index_select(0, indices(part.rows, device_)));
  }
  if (!optimizer_->gradients_are_finite()) {
    optimizer_->clear_gradients();
    return out;
  }
  optimizer_->step(batch.learning_rate);
  out.finite = 1;
  return out;
}

void Teacher::read(clipn_teacher_part part, const std::string& name, float* out, uint64_t count) const {
  const auto weight = tower_->weights().find(name);
  if (weight == tower_->weights().end()) throw Error(CLIPN_INVALID_ARG, "no trained tensor is named " + name);
  const AdamW::Moments& moments = optimizer_->moments().at(name);
  if (part != CLIPN_TEACHER_WEIGHT && part != CLIPN_TEACHER_MEAN && part != CLIPN_TEACHER_SQUARE) {
    throw Error(CLIPN_INVALID_ARG, "no such part of a trained tensor");
  }
  const at::Tensor& tensor = part == CLIPN_TEACHER_WEIGHT ? weight->second
                             : part == CLIPN_TEACHER_MEAN ? moments.mean
                                                          : moments.square;
  if (count != static_cast<uint64_t>(tensor.numel())) {
    throw Error(CLIPN_INVALID_ARG,
                name + " has " + std::to_string(tensor.numel()) + " elements, not " + std::to_string(count));
  }
  const at::Tensor dense = tensor.detach().cpu().contiguous();
  std::memcpy(out, dense.const_data_ptr<float>(), count * sizeof(float));
}

}  // namespace clipn
