#include "tower/image_tower.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "cpu/dispatch.h"
#include "error.h"
#include "extent.h"
#include "model/normalise.h"
#include "tower/element.h"
#include "tower/int8_linear.h"
#include "tower/row_blocks.h"
#include "tower/tasks.h"

namespace clipn {
namespace {

// ((v / 255) - mean) / std of every byte v and channel, as T.
template <typename T>
using PixelTable = std::array<std::array<T, 256>, 3>;

template <typename T>
PixelTable<T> pixel_table(const clipn_image_batch& batch) {
  const auto values = normalisation_table(batch);
  PixelTable<T> table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t v = 0; v < 256; ++v) table[c][v] = element<T>(values[c][v]);
  }
  return table;
}

// One patch, [3, patch, patch], from interleaved pixels whose rows are `stride` bytes apart.
template <typename T>
void unfold(const PixelTable<T>& table, const uint8_t* pixels, int64_t stride, int64_t patch, T* out) {
  for (size_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < patch; ++y) {
      const uint8_t* row = pixels + y * stride + c;
      for (int64_t x = 0; x < patch; ++x) *out++ = table[c][row[3 * x]];
    }
  }
}

}  // namespace

template <typename T, typename Linear>
ImageTower<T, Linear>::ImageTower(ImageStem<T> stem, Transformer<T, Linear> transformer)
    : stem_(std::move(stem)),
      transformer_(std::move(transformer)),
      grid_(stem_.side / stem_.patch),
      tokens_(1 + grid_ * grid_) {}

template <typename T, typename Linear>
float* ImageTower<T, Linear>::embed(const clipn_image_batch& batch) {
  if (batch.side != stem_.side) {
    throw Error(CLIPN_MODEL_CONTRACT,
                "the tower takes images of side " + std::to_string(stem_.side) + ", not " + std::to_string(batch.side));
  }
  const int64_t width = transformer_.width(), depth = stem_.conv1.in(), patch = stem_.patch;
  const int64_t stride = 3 * stem_.side;
  const auto table = pixel_table<T>(batch);
  float* x = x_.reserve(batch.n * tokens_ * width);
  const cpu::Kernels& kernels = cpu::kernels();
  // A task is some rows of patches of one image: few tasks, for each reads all weights, but one for each thread.
  const int64_t threads = at::get_num_threads();
  const int64_t parts =
      std::min(grid_, std::max((grid_ * grid_ + kMostRows - 1) / kMostRows, (threads + batch.n - 1) / batch.n));
  const int64_t most = (grid_ + parts - 1) / parts * grid_;
  T* scratch = patches_.reserve(threads * most * depth);
  const float* position = stem_.positional_embedding.template const_data_ptr<float>();
  const float* class_token = stem_.class_embedding.template const_data_ptr<float>();
  const auto norm = [&](float* rows, int64_t count) {
    kernels.fp32.layer_norm(rows, count, width, stem_.ln_pre.weight.template const_data_ptr<float>(),
                            stem_.ln_pre.bias.template const_data_ptr<float>(), rows);
  };
  for_each_task(batch.n * parts, [&](int64_t task, int64_t thread) {
    const int64_t image = task / parts, part = task % parts;
    const int64_t begin = grid_ * part / parts, count = (grid_ * (part + 1) / parts - begin) * grid_;
    T* patches = scratch + thread * most * depth;
    const uint8_t* pixels = batch.pixels + (image * stem_.side + begin * patch) * stride;
    for (int64_t i = 0; i < count; ++i) {
      unfold(table, pixels + i / grid_ * patch * stride + 3 * (i % grid_) * patch, stride, patch, patches + i * depth);
    }
    float* first = x + image * tokens_ * width;
    float* rows = first + (1 + begin * grid_) * width;
    for (int64_t panel = 0; panel < stem_.conv1.panels(); ++panel) {
      stem_.conv1.multiply(panel, patches, count, depth, rows + panel * kPanel, width, false);
    }
    const float* at = position + (1 + begin * grid_) * width;
    for (int64_t i = 0; i < count * width; ++i) rows[i] += at[i];
    norm(rows, count);
    if (part == 0) {
      for (int64_t j = 0; j < width; ++j) first[j] = class_token[j] + position[j];
      norm(first, 1);
    }
  });
  return x;
}

template <typename T, typename Linear>
at::Tensor ImageTower<T, Linear>::encode(const clipn_image_batch& batch) {
  const float* rows = transformer_.run_to_readout(embed(batch), Sequences::of_length(batch.n, tokens_));
  at::Tensor out = at::empty({batch.n, stem_.proj.out()}, at::TensorOptions(at::kFloat));
  transformer_.project(stem_.ln_post, stem_.proj, rows, batch.n, out.mutable_data_ptr<float>());
  return out;
}

template <typename T, typename Linear>
at::Tensor ImageTower<T, Linear>::encode_tokens(const clipn_image_batch& batch) {
  float* x = embed(batch);
  transformer_.run(x, Sequences::of_length(batch.n, tokens_));
  at::Tensor out = at::empty({batch.n, tokens_, stem_.proj.out()}, at::TensorOptions(at::kFloat));
  transformer_.project(stem_.ln_post, stem_.proj, x, batch.n * tokens_, out.mutable_data_ptr<float>());
  return out;
}

template <typename T, typename Linear>
void ImageTower<T, Linear>::run_linears(int64_t n) {
  if (!fits_memory({n, tokens_, 4 * transformer_.width()}, sizeof(float))) {
    throw Error(CLIPN_INVALID_ARG, "a batch of n " + std::to_string(n) + " is too large");
  }
  transformer_.run_linears(n * tokens_);
}

template <typename T, typename Linear>
std::pair<at::Tensor, at::Tensor> ImageTower<T, Linear>::encode_contributions(const clipn_image_batch& batch) {
  const Sequences all = Sequences::of_length(batch.n, tokens_);
  const float* rows = transformer_.run_to_readout(embed(batch), all, /*keep_weighted=*/true);
  const at::TensorOptions fp32(at::kFloat);
  at::Tensor features = at::empty({batch.n, stem_.proj.out()}, fp32);
  at::Tensor contributions = at::empty({batch.n, tokens_, stem_.proj.out()}, fp32);
  transformer_.project(stem_.ln_post, stem_.proj, rows, batch.n, features.mutable_data_ptr<float>());
  transformer_.project_contributions(stem_.ln_post, stem_.proj, rows, all, contributions.mutable_data_ptr<float>());
  return {features, contributions};
}

template class ImageTower<float>;
template class ImageTower<uint16_t>;
template class ImageTower<float, Int8Linear<float>>;
template class ImageTower<uint16_t, Int8Linear<uint16_t>>;

}  // namespace clipn
