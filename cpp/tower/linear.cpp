#include "tower/linear.h"

#include <algorithm>
#include <cstring>

#include "cpu/dispatch.h"
#include "tower/tasks.h"

namespace clipn {
namespace {

// Inputs that are multiplied in one go: 3 KB of a row, so that this part of a panel (197 kB) and of a row block (393
// kB) fit in L2 together. Even, for bf16 comes in pairs.
template <typename T>
constexpr int64_t kMostInputs = 3072 / static_cast<int64_t>(sizeof(T));

}  // namespace

Buffer<float> stored_bias(const at::Tensor& bias, int64_t outputs) {
  Buffer<float> stored;
  float* to = stored.reserve(outputs);  // zeros
  if (!bias.defined()) return stored;
  const at::Tensor dense = bias.to(at::kFloat).contiguous();
  std::memcpy(to, dense.const_data_ptr<float>(), static_cast<size_t>(outputs) * sizeof(float));
  return stored;
}

template <>
const cpu::RowKernels<float>& row_kernels() {
  return cpu::kernels().fp32;
}

template <>
const cpu::RowKernels<uint16_t>& row_kernels() {
  return cpu::kernels().bf16;
}

template <typename T>
void PackedLinear<T>::Rows::reserve(int64_t rows, int64_t width) {
  own_.reserve(rows * width);
  tile_.reserve(rows * kPanel);
}

template <typename T>
void PackedLinear<T>::Rows::set(const T* given, int64_t rows, int64_t width, const std::vector<int64_t>& /*fine*/) {
  rows_ = given;
  count_ = rows;
  width_ = width;
}

template <typename T>
void PackedLinear<T>::Rows::set_norm(const Norm& norm, const float* x, int64_t rows, int64_t width,
                                     const std::vector<int64_t>& fine) {
  row_kernels<T>().layer_norm(x, rows, width, norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(),
                              own_.data());
  set(own_.data(), rows, width, fine);
}

template <typename T>
void PackedLinear<T>::Rows::set_any(int64_t rows, int64_t width) {
  set(own_.data(), rows, width, {});
}

template <typename T>
PackedLinear<T>::PackedLinear(const Dense& dense)
    : in_(dense.weight.size(1)), out_(dense.weight.size(0)), bias_(stored_bias(dense.bias, out_)) {
  const at::Tensor weight = dense.weight.to(c10::CppTypeToScalarType<Element<T>>::value).contiguous();
  const T* from = static_cast<const T*>(weight.const_data_ptr());
  T* to = weight_.reserve_to_fill(out_ * in_);
  // Words of 32 bits: a number of fp32, a pair of bf16.
  const int64_t words = in_ * static_cast<int64_t>(sizeof(T)) / 4;
  const cpu::Kernels& kernels = cpu::kernels();
  for_each_task(panels(), [&](int64_t panel, int64_t) {
    kernels.transpose_words(reinterpret_cast<const uint32_t*>(from + panel * kPanel * in_), panel_width(panel), words,
                            words, reinterpret_cast<uint32_t*>(to + panel * kPanel * in_), panel_width(panel));
  });
}

template <typename T>
void PackedLinear<T>::multiply(int64_t panel, const T* a, int64_t rows, int64_t ld_a, float* c, int64_t ld_c,
                               bool accumulate) const {
  const int64_t width = panel_width(panel);
  const T* b = weight_.data() + panel * kPanel * in_;
  for (int64_t k = 0; k < in_; k += kMostInputs<T>) {
    const int64_t inputs = std::min(kMostInputs<T>, in_ - k);
    clipn::multiply(a + k, ld_a, b + k * width, width, rows, width, inputs, c, ld_c, accumulate || k > 0);
  }
}

template <typename T>
void PackedLinear<T>::multiply_only(int64_t panel, Rows& a) const {
  multiply(panel, a.rows_, a.count_, a.width_, a.tile_.data(), panel_width(panel), false);
}

template <typename T>
void PackedLinear<T>::store(int64_t panel, Rows& a, cpu::Activation activation, T* out, int64_t ld_out) const {
  multiply_only(panel, a);
  row_kernels<T>().store_linear(a.tile_.data(), a.count_, panel_width(panel), bias_.data() + panel * kPanel, activation,
                                out, ld_out);
}

template <typename T>
void PackedLinear<T>::add(int64_t panel, const Rows& a, float* to, int64_t ld_to) const {
  multiply(panel, a.rows_, a.count_, a.width_, to, ld_to, true);
  const int64_t columns = panel_width(panel);
  const float* bias = bias_.data() + panel * kPanel;
  for (int64_t r = 0; r < a.count_; ++r) {
    for (int64_t j = 0; j < columns; ++j) to[r * ld_to + j] += bias[j];
  }
}

template <typename T>
void PackedLinear<T>::product(int64_t panel, const Rows& a, float* to, int64_t ld_to) const {
  multiply(panel, a.rows_, a.count_, a.width_, to, ld_to, false);
}

template class PackedLinear<float>;
template class PackedLinear<uint16_t>;

}  // namespace clipn
