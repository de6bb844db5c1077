#include "tower/int8_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cpu/dispatch.h"
#include "error.h"
#include "tower/tasks.h"

namespace clipn {
namespace {

// Inputs whose errors take each other back, at most: the work grows with their square, and 1024 gain little
// (bench/README.md).
constexpr int64_t kMostTogether = 256;

// Inputs whose sums of code products, 255 * 127 each and what fine rows add, still fit 32 bits (cpp/tower/int8.inl).
constexpr int64_t kMostCodes = 66000;

// Part i of a linear's inputs, whole panels.
struct Part {
  Part(int64_t in, int64_t i, int64_t parts)
      : begin(in / kPanel * i / parts * kPanel), count(in / kPanel * (i + 1) / parts * kPanel - begin) {}
  int64_t begin, count;
};

int64_t parts_of(int64_t in) { return (in + kMostTogether - 1) / kMostTogether; }

// Each input's mean square is taken for a tenth of the mean more: what few rows know of inputs is not all there is.
at::Tensor factor_of(const at::Tensor& inputs) {
  const at::Tensor moments = at::mm(inputs.t(), inputs);
  const double mean = moments.diagonal().mean().item<double>();
  if (!std::isfinite(mean) || mean == 0) return {};
  moments.diagonal().add_(0.1 * mean);
  const at::Tensor root = at::linalg_cholesky(moments, /*upper=*/true);
  return (root / root.diagonal().unsqueeze(1)).contiguous();
}

}  // namespace

// Each factor is one thread's work: libtorch would share out each of its many small steps.
std::vector<Rounding> roundings_of(const std::vector<at::Tensor>& inputs) {
  std::vector<Rounding> all;
  std::vector<std::pair<size_t, int64_t>> tasks;
  for (size_t i = 0; i < inputs.size(); ++i) {
    all.emplace_back(parts_of(inputs[i].size(1)));
    for (size_t part = 0; part < all[i].size(); ++part) tasks.emplace_back(i, part);
  }
  for_each_task(static_cast<int64_t>(tasks.size()), [&](int64_t task, int64_t) {
    const at::NoGradGuard no_grad;
    const auto [i, part] = tasks[task];
    const Part of(inputs[i].size(1), part, static_cast<int64_t>(all[i].size()));
    all[i][part] = factor_of(inputs[i].slice(1, of.begin, of.begin + of.count));
  });
  return all;
}

template <typename T>
void Int8Linear<T>::Rows::reserve(int64_t rows, int64_t width) {
  codes_.reserve(2 * rows * width);
  step_.reserve(rows);
  least_.reserve(rows);
  row_.reserve(width);
  sums_.reserve(2 * rows * kPanel);
  fine_.reserve(static_cast<size_t>(rows));
}

template <typename T>
void Int8Linear<T>::Rows::set(const T* given, int64_t rows, int64_t width, const std::vector<int64_t>& fine) {
  set_any(rows, width);
  row_kernels<T>().quantise(given, rows, width, codes_.data(), step_.data(), least_.data());
  for (const int64_t r : fine) set_finely(r, given + r * width);
}

template <typename T>
void Int8Linear<T>::Rows::set_norm(const Norm& norm, const float* x, int64_t rows, int64_t width,
                                   const std::vector<int64_t>& fine) {
  set_any(rows, width);
  const float* weight = norm.weight.const_data_ptr<float>();
  const float* bias = norm.bias.const_data_ptr<float>();
  const cpu::Kernels& kernels = cpu::kernels();
  kernels.quantise_norm(x, rows, width, weight, bias, row_.data(), codes_.data(), step_.data(), least_.data());
  for (const int64_t r : fine) {
    kernels.fp32.layer_norm(x + r * width, 1, width, weight, bias, row_.data());
    set_finely(r, row_.data());
  }
}

template <typename T>
template <typename U>
void Int8Linear<T>::Rows::set_finely(int64_t r, const U* row) {
  uint8_t* low = codes_.data() + code_rows() * width_;
  row_kernels<U>().quantise_finely(row, width_, codes_.data() + r * width_, low, step_.data() + r, least_.data() + r);
  fine_.push_back(r);
}

template <typename T>
void Int8Linear<T>::Rows::set_any(int64_t rows, int64_t width) {
  count_ = rows;
  width_ = width;
  fine_.clear();
}

template <typename T>
at::Tensor Int8Linear<T>::balance(Norm& norm, const at::Tensor& weight) {
  const at::Tensor sizes = 3 * norm.weight.abs() + norm.bias.abs();
  const at::Tensor weights =
      at::linalg_vector_norm(weight.to(at::kFloat), std::numeric_limits<double>::infinity(), at::IntArrayRef{0});
  // An input that is always zero, or that no weight takes, stays as it is.
  const at::Tensor factor = at::where((sizes > 0) & (weights > 0), (sizes / weights).sqrt(), at::ones_like(sizes));
  norm.weight = norm.weight / factor;
  norm.bias = norm.bias / factor;
  return weight.to(at::kFloat) * factor;
}

template <typename T>
Int8Linear<T>::Int8Linear(const Dense& dense, const Rounding& rounding)
    : in_(dense.weight.size(1)), out_(dense.weight.size(0)), bias_(stored_bias(dense.bias, out_)) {
  if (in_ > kMostCodes) {
    throw Error(CLIPN_MODEL_CONTRACT, "the image tower has a linear of " + std::to_string(in_) +
                                          " inputs, and int8 takes " + std::to_string(kMostCodes) + " at most");
  }
  const at::Tensor weight = dense.weight.to(at::kFloat).contiguous();
  const float* from = weight.const_data_ptr<float>();
  int8_t* to = weight_.reserve_to_fill(out_ * in_);
  float* scale = scale_.reserve_to_fill(out_);
  float* sum = sum_.reserve(out_);  // zeros
  const cpu::Kernels& kernels = cpu::kernels();
  for_each_task(panels(), [&](int64_t panel, int64_t) {
    const int64_t first = panel * kPanel;
    std::vector<float> columns(static_cast<size_t>(in_ * kPanel));
    kernels.transpose_words(reinterpret_cast<const uint32_t*>(from + first * in_), kPanel, in_, in_,
                            reinterpret_cast<uint32_t*>(columns.data()), kPanel);
    kernels.weight_scales(columns.data(), in_, scale + first);
    for (size_t i = 0; i < rounding.size(); ++i) {
      const Part part(in_, static_cast<int64_t>(i), static_cast<int64_t>(rounding.size()));
      const float* factor = rounding[i].defined() ? rounding[i].template const_data_ptr<float>() : nullptr;
      kernels.round_weights(columns.data() + part.begin * kPanel, part.count, factor, scale + first,
                            to + first * in_ + part.begin * kPanel, sum + first);
    }
  });
  if (!std::all_of(scale, scale + out_, [](float value) { return std::isfinite(value); })) {
    throw Error(CLIPN_MODEL_CONTRACT, "the image tower has a weight that is not finite");
  }
}

template <typename T>
cpu::Channels Int8Linear<T>::channels(int64_t panel) const {
  const int64_t first = panel * kPanel;
  return {scale_.data() + first, sum_.data() + first, bias_.data() + first};
}

template <typename T>
void Int8Linear<T>::multiply_only(int64_t panel, Rows& a) const {
  multiply(a.codes_.data(), a.width_, weight_.data() + panel * kPanel * in_, a.code_rows(), in_, a.sums_.data());
}

// Sums of low bytes count a 256th; to round that to a whole costs less than codes of 16 bits have cost already.
template <typename T>
const int32_t* Int8Linear<T>::multiplied(int64_t panel, Rows& a) const {
  multiply_only(panel, a);
  const int32_t* low = a.sums_.data() + a.count_ * kPanel;
  for (const int64_t r : a.fine_) {
    int32_t* high = a.sums_.data() + r * kPanel;
    for (int64_t j = 0; j < kPanel; ++j) high[j] += (*low++ + 128) >> 8;
  }
  return a.sums_.data();
}

template <typename T>
void Int8Linear<T>::store(int64_t panel, Rows& a, cpu::Activation activation, T* out, int64_t ld_out) const {
  row_kernels<T>().store_sums(multiplied(panel, a), a.count_, a.step_.data(), a.least_.data(), channels(panel),
                              activation, out, ld_out);
}

template <typename T>
void Int8Linear<T>::add(int64_t panel, Rows& a, float* to, int64_t ld_to) const {
  cpu::kernels().add_sums(multiplied(panel, a), a.count_, a.step_.data(), a.least_.data(), channels(panel), to, ld_to);
}

template <typename T>
void Int8Linear<T>::product(int64_t panel, Rows& a, float* to, int64_t ld_to) const {
  static constexpr std::array<float, kPanel> kNoBias{};
  cpu::Channels unbiased = channels(panel);
  unbiased.bias = kNoBias.data();
  cpu::kernels().fp32.store_sums(multiplied(panel, a), a.count_, a.step_.data(), a.least_.data(), unbiased,
                                 cpu::Activation::kNone, to, ld_to);
}

template class Int8Linear<float>;
template class Int8Linear<uint16_t>;

}  // namespace clipn
