// A linear layer with packed weights, and the rows that it multiplies: in their own type here, in 8 bits in
// int8_linear.h. Both offer what transformer.h asks for, under the same names.
#ifndef CLIPN_TOWER_LINEAR_H_
#define CLIPN_TOWER_LINEAR_H_

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <vector>

#include "tower/buffer.h"
#include "tower/gemm.h"

namespace clipn {

/// Weight and bias of a LayerNorm, fp32.
struct Norm {
  Norm(const at::Tensor& weight_, const at::Tensor& bias_)
      : weight(weight_.to(at::kFloat).contiguous()), bias(bias_.to(at::kFloat).contiguous()) {}
  at::Tensor weight, bias;
};

/// A linear as a file has it: weight [out, in], and bias [out] or none.
struct Dense {
  at::Tensor weight, bias;
};

/// The bias of a linear with `outputs`, fp32: zeros for an undefined one.
Buffer<float> stored_bias(const at::Tensor& bias, int64_t outputs);

/// The kernels for rows of T.
template <typename T>
const cpu::RowKernels<T>& row_kernels();
template <>
const cpu::RowKernels<float>& row_kernels();
template <>
const cpu::RowKernels<uint16_t>& row_kernels();

/// y = x W^T + b with W [out, in] packed once: panels of kPanel outputs, each [in, width] for fp32 and
/// [in / 2, width, 2] for bf16.
template <typename T>
class PackedLinear {
 public:
  /// The left side of products: one thread's rows of T, and the tile that takes the products.
  class Rows {
   public:
    /// Room for `rows` rows of at most `width` numbers.
    void reserve(int64_t rows, int64_t width);
    /// The rows are those of T given, [rows, width], for as long as they live. Of `fine` rows little is to be lost: in
    /// 8 bits they are taken more finely, here they are as all others.
    void set(const T* given, int64_t rows, int64_t width, const std::vector<int64_t>& fine);
    /// The rows are those of x after a LayerNorm.
    void set_norm(const Norm& norm, const float* x, int64_t rows, int64_t width, const std::vector<int64_t>& fine);
    /// The rows are what there happens to be: for benchmarks.
    void set_any(int64_t rows, int64_t width);

   private:
    friend class PackedLinear;
    const T* rows_ = nullptr;
    int64_t count_ = 0, width_ = 0;
    Buffer<T> own_;
    Buffer<float> tile_;
  };

  /// The weight to give the constructor when `norm` stands before the linear: here as it is.
  static at::Tensor balance(Norm& /*norm*/, at::Tensor weight) { return weight; }

  explicit PackedLinear(const Dense& dense);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t panels() const { return (out_ + kPanel - 1) / kPanel; }
  int64_t panel_width(int64_t panel) const { return std::min(kPanel, out_ - panel * kPanel); }

  /// c = a W_panel^T, or c += with `accumulate`; c is fp32 [rows, panel_width].
  void multiply(int64_t panel, const T* a, int64_t rows, int64_t ld_a, float* c, int64_t ld_c, bool accumulate) const;

  /// The products of a panel and nothing else: for benchmarks.
  void multiply_only(int64_t panel, Rows& a) const;

  /// out = activation(a W_panel^T + b).
  void store(int64_t panel, Rows& a, cpu::Activation activation, T* out, int64_t ld_out) const;

  /// to += a W_panel^T + b.
  void add(int64_t panel, const Rows& a, float* to, int64_t ld_to) const;

  /// to = a W_panel^T.
  void product(int64_t panel, const Rows& a, float* to, int64_t ld_to) const;

 private:
  int64_t in_, out_;
  Buffer<T> weight_;
  Buffer<float> bias_;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_LINEAR_H_
