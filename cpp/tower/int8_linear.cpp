#include "tower/int8_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cpu/dispatch.h"
#include "error.h"

namespace clipn {
template <typename T>
void Int8Linear<T>::Rows::reserve(int64_t rows, int64_t width) {
  codes_.reserve(rows * width);
  step_.reserve(rows);
  least_.reserve(rows);
  row_.reserve(width);
  sums_.reserve(rows * kPanel);
}

template <typename T>
void Int8Linear<T>::Rows::set(const T* given, int64_t rows, int64_t width) {
  row_kernels<T>().quantise(given, rows, width, codes_.data(), step_.data(), least_.data());
  set_any(rows, width);
}

template <typename T>
void Int8Linear<T>::Rows::set_norm(const Norm& norm, const float* x, int64_t rows, int64_t width) {
  cpu::kernels().quantise_norm(x, rows, width, norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(),
                               row_.data(), codes_.data(), step_.data(), least_.data());
  set_any(rows, width);
}

template <typename T>
void Int8Linear<T>::Rows::set_any(int64_t rows, int64_t width) {
  count_ = rows;
  width_ = width;
}

template <typename T>
at::Tensor Int8Linear<T>::balance(Norm& norm, const at::Tensor& weight) {
  const at::Tensor sizes = 3 * norm.weight.abs() + norm.bias.abs();
  const at::Tensor weights = weight.to(at::kFloat).abs().amax(0);
  // An input that is always zero, or that no weight takes, stays as it is.
  const at::Tensor factor = at::where((sizes > 0) & (weights > 0), (sizes / weights).sqrt(), at::ones_like(sizes));
  norm.weight = norm.weight / factor;
  norm.bias = norm.bias / factor;
  return weight.to(at::kFloat) * factor;
}

template <typename T>
Int8Linear<T>::Int8Linear(const at::Tensor& weight, const at::Tensor& bias)
    : in_(weight.size(1)), out_(weight.size(0)), bias_(stored_bias(bias, out_)) {
  const at::Tensor dense = weight.to(at::kFloat).contiguous();
  const float* from = dense.const_data_ptr<float>();
  int8_t* to = weight_.reserve_to_fill(out_ * in_);
  float* scale = scale_.reserve_to_fill(out_);
  float* sum = sum_.reserve_to_fill(out_);
  const cpu::Kernels& kernels = cpu::kernels();
  for_each_task(panels(), [&](int64_t panel, int64_t) {
    std::vector<int8_t> codes(static_cast<size_t>(kPanel * in_));
    for (int64_t i = 0; i < kPanel; ++i) {
      const int64_t output = panel * kPanel + i;
      kernels.quantise_weights(from + output * in_, in_, codes.data() + i * in_, scale + output, sum + output);
    }
    // Four codes are a word of 32 bits, and stay together.
    kernels.transpose_words(reinterpret_cast<const uint32_t*>(codes.data()), kPanel, in_ / 4, in_ / 4,
                            reinterpret_cast<uint32_t*>(to + panel * kPanel * in_), kPanel);
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
  multiply(a.codes_.data(), a.width_, weight_.data() + panel * kPanel * in_, a.count_, in_, a.sums_.data());
}

template <typename T>
void Int8Linear<T>::store(int64_t panel, Rows& a, cpu::Activation activation, T* out, int64_t ld_out) const {
  multiply_only(panel, a);
  row_kernels<T>().store_sums(a.sums_.data(), a.count_, a.step_.data(), a.least_.data(), channels(panel), activation,
                              out, ld_out);
}

template <typename T>
void Int8Linear<T>::add(int64_t panel, Rows& a, float* to, int64_t ld_to) const {
  multiply_only(panel, a);
  cpu::kernels().add_sums(a.sums_.data(), a.count_, a.step_.data(), a.least_.data(), channels(panel), to, ld_to);
}

template <typename T>
void Int8Linear<T>::product(int64_t panel, Rows& a, float* to, int64_t ld_to) const {
  static constexpr std::array<float, kPanel> kNoBias{};
  for (int64_t r = 0; r < a.count_; ++r) std::fill_n(to + r * ld_to, kPanel, 0.0F);
  cpu::Channels unbiased = channels(panel);
  unbiased.bias = kNoBias.data();
  multiply_only(panel, a);
  cpu::kernels().add_sums(a.sums_.data(), a.count_, a.step_.data(), a.least_.data(), unbiased, to, ld_to);
}

template class Int8Linear<float>;
template class Int8Linear<uint16_t>;

}  // namespace clipn
