#include "tower/gemm.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <vector>

#include "cpu/dispatch.h"

#ifndef _OPENMP
#error "compile with -fopenmp: without it at::parallel_for runs serially, and nothing says so"
#endif

namespace clipn {
namespace {

using at::native::cpublas::brgemm;

constexpr int64_t kLeastRows = 8;  // of a block: below, reading the weights takes longer than the products

// Inputs that are multiplied in one go: 3 KB of a row, so that this part of a panel (197 kB) and of a row block (393
// kB) fit in L2 together. Even, for bf16 comes in pairs.
template <typename T>
constexpr int64_t kMostInputs = 3072 / static_cast<int64_t>(sizeof(T));

const c10::BFloat16* elements(const uint16_t* bits) { return reinterpret_cast<const c10::BFloat16*>(bits); }

// A thread's AMX tiles are configured by brgemm; other code must find them released.
struct ReleaseTiles {
  ~ReleaseTiles() { at::native::cpublas::brgemm_release(); }
};

}  // namespace

void multiply(const float* a, int64_t ld_a, const float* b, int64_t ld_b, int64_t rows, int64_t columns, int64_t depth,
              float* c, int64_t ld_c) {
  brgemm(rows, columns, depth, ld_a, ld_b, ld_c, false, a, b, c);
}

void multiply(const uint16_t* a, int64_t ld_a, const uint16_t* b, int64_t ld_b, int64_t rows, int64_t columns,
              int64_t depth, float* c, int64_t ld_c) {
  brgemm(rows, columns, depth, ld_a, ld_b, ld_c, false, elements(a), elements(b), c);
}

template <typename T>
bool can_multiply() {
  static const bool works = [] {
    alignas(64) T a[16 * 16] = {}, b[16 * 16] = {};
    alignas(64) float c[16 * 16];
    try {
      const ReleaseTiles release;
      multiply(a, 16, b, 16, 16, 16, 16, c, 16);
      return true;
    } catch (const std::exception&) {
      return false;  // libtorch's word for a CPU or build without these kernels
    }
  }();
  return works;
}

template <typename T>
PackedLinear<T>::PackedLinear(const at::Tensor& weight, const at::Tensor& bias)
    : in_(weight.size(1)), out_(weight.size(0)) {
  const at::Tensor dense = weight.to(c10::CppTypeToScalarType<Element<T>>::value).contiguous();
  const T* from = static_cast<const T*>(dense.const_data_ptr());
  T* to = weight_.reserve(out_ * in_);
  // Words of 32 bits: a number of fp32, a pair of bf16.
  const int64_t words = in_ * static_cast<int64_t>(sizeof(T)) / 4;
  const cpu::Kernels& kernels = cpu::kernels();
  for_each_task(panels(), [&](int64_t panel, int64_t) {
    kernels.transpose_words(reinterpret_cast<const uint32_t*>(from + panel * kPanel * in_), panel_width(panel), words,
                            words, reinterpret_cast<uint32_t*>(to + panel * kPanel * in_), panel_width(panel));
  });
  const at::Tensor dense_bias =
      bias.defined() ? bias.to(at::kFloat).contiguous() : at::zeros({out_}, at::TensorOptions(at::kFloat));
  std::memcpy(bias_.reserve(out_), dense_bias.const_data_ptr<float>(), static_cast<size_t>(out_) * sizeof(float));
}

template <typename T>
void PackedLinear<T>::multiply(int64_t panel, const T* a, int64_t rows, int64_t ld_a, float* c, int64_t ld_c,
                               bool accumulate) const {
  const int64_t width = panel_width(panel);
  const T* b = weight_.data() + panel * kPanel * in_;
  for (int64_t k = 0; k < in_; k += kMostInputs<T>) {
    const int64_t inputs = std::min(kMostInputs<T>, in_ - k);
    const bool add = accumulate || k > 0;
    if constexpr (std::is_same_v<T, float>) {
      brgemm(rows, width, inputs, ld_a, width, ld_c, add, a + k, b + k * width, c);
    } else {
      brgemm(rows, width, inputs, ld_a, width, ld_c, add, elements(a + k), elements(b + k * width), c);
    }
  }
}

void for_each_task(int64_t tasks, const std::function<void(int64_t, int64_t)>& run) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(tasks, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    const ReleaseTiles release;
    for (int64_t task = next++; task < tasks; task = next++) run(task, at::get_thread_num());
  });
}

RowBlocks::RowBlocks(int64_t all) : rows(all) {
  const int64_t threads = at::get_num_threads();
  count = threads * ((rows + threads * kMostRows - 1) / (threads * kMostRows));
  count = std::max<int64_t>(1, std::min(count, rows / kLeastRows));
}

template class PackedLinear<float>;
template class PackedLinear<uint16_t>;
template bool can_multiply<float>();
template bool can_multiply<uint16_t>();

}  // namespace clipn
