// A linear layer in 8 bits: weights quantised once for each output, rows as they come for each row.
#ifndef CLIPN_TOWER_INT8_LINEAR_H_
#define CLIPN_TOWER_INT8_LINEAR_H_

#include <vector>

#include "tower/linear.h"

namespace clipn {

/// How weights are rounded so that the errors of inputs that go together cancel (rounding.inl): a factor for each part
/// of the inputs, undefined where every weight goes to its nearest code.
using Rounding = std::vector<at::Tensor>;

/// That of linears which take these inputs, fp32 [rows, in] each.
std::vector<Rounding> roundings_of(const std::vector<at::Tensor>& inputs);

/// y = x W^T + b with W [out, in] as scale[out] times integers of [-127, 127], in panels of kPanel outputs, each
/// [in / 4, kPanel, 4]. What is stored or taken without a LayerNorm is T. in and out are multiples of kPanel.
template <typename T>
class Int8Linear {
 public:
  /// The left side of products: one thread's rows as codes (int8.inl), and the tile that takes the sums. Codes of
  /// `fine` rows have 16 bits: the low ones lie behind all rows, as rows of their own, in the order of `fine`.
  class Rows {
   public:
    void reserve(int64_t rows, int64_t width);
    void set(const T* given, int64_t rows, int64_t width, const std::vector<int64_t>& fine);
    void set_norm(const Norm& norm, const float* x, int64_t rows, int64_t width, const std::vector<int64_t>& fine);
    void set_any(int64_t rows, int64_t width);

   private:
    friend class Int8Linear;
    template <typename U>
    void set_finely(int64_t r, const U* row);
    int64_t code_rows() const { return count_ + static_cast<int64_t>(fine_.size()); }

    int64_t count_ = 0, width_ = 0;
    std::vector<int64_t> fine_;
    Buffer<uint8_t> codes_;
    Buffer<float> step_, least_, row_;
    Buffer<int32_t> sums_;
  };

  /// Moves size from the rows to the weights, or back, input by input, without changing what the linear gives:
  /// SmoothQuant (Xiao et al., ICML 2023, equation 4 with alpha 1/2). A few inputs thirty times as large as the others,
  /// which CLIP's networks have, would otherwise leave these few codes. How large an input is comes from the LayerNorm
  /// itself, 3 |weight| + |bias|, so that no images are needed (bench/README.md has what it changes).
  static at::Tensor balance(Norm& norm, const at::Tensor& weight);

  /// @throws Error(CLIPN_MODEL_CONTRACT) for weights that are not finite: as codes they would be numbers.
  Int8Linear(const Dense& dense, const Rounding& rounding);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t panels() const { return out_ / kPanel; }

  void multiply_only(int64_t panel, Rows& a) const;
  void store(int64_t panel, Rows& a, cpu::Activation activation, T* out, int64_t ld_out) const;
  void add(int64_t panel, Rows& a, float* to, int64_t ld_to) const;
  void product(int64_t panel, Rows& a, float* to, int64_t ld_to) const;

 private:
  /// Sums of codes of a panel, a row each, in units of a row's step.
  const int32_t* multiplied(int64_t panel, Rows& a) const;
  cpu::Channels channels(int64_t panel) const;

  int64_t in_, out_;
  Buffer<int8_t> weight_;
  Buffer<float> scale_, sum_, bias_;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_INT8_LINEAR_H_
