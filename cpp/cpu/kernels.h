// The kernels of one CPU target, as a table. cpu/kernels.cpp is compiled once per target with that target's flags and
// fills one table; cpu/dispatch.h chooses. Nothing here may include libtorch or a library template: an inline function
// compiled for AVX-512 could win at link time and stop older CPUs.
#ifndef CLIPN_CPU_KERNELS_H_
#define CLIPN_CPU_KERNELS_H_

#include <stdint.h>

namespace clipn::cpu {

// Rows that one horizontal resize pass takes together.
inline constexpr int32_t kStripRows = 32;

// Classes per entry of score_block's `chunk_max`.
inline constexpr int64_t kChunkClasses = 64;

// Images in a tile of products come in multiples of this.
inline constexpr int64_t kImageStep = 16;

// Filter of one axis for `count` consecutive outputs: output i is the sum over t < taps[i] of
// weights[i * capacity + t] * input[first[i] + t], in units of 2^-22.
struct ResizeAxis {
  const int32_t* first;
  const int32_t* taps;
  const int32_t* weights;
  int32_t capacity;
  int32_t count;
};

// What is known of one image after some of the classes. x = <f, g_j>, y = <f, h_j>, z = s (x - y), w = x + min(x - y,
// 0), so e^{s w} / (1 + e^{-|z|}) = e^a sigma(z) and e^{s min(x, y)} / (1 + e^{-|z|}) = e^a sigma(-z) with the spec's a
// = s x. Each sum is relative to its own maximum, so none can underflow. Without a no bank: k = m, out = 0, n = -inf.
struct ScoreState {
  float m;       // max x
  float k;       // max w
  float n;       // max min(x, y)
  float in;      // sum of e^{s (w - k)} / (1 + e^{-|z|})
  float in_max;  // largest term of `in`
  float out;     // sum of e^{s (min(x, y) - n)} / (1 + e^{-|z|})
  float mcm;     // sum of e^{x - m}
  float gap;     // x - y at the first maximum of x
};

// Some of an image's words; x = <f, u_k>.
struct WordSum {
  float m;    // max x
  float sum;  // sum of e^{s (x - m)}
};

enum class Activation { kNone, kGelu, kQuickGelu };

// Columns of a tile of int8 products.
inline constexpr int64_t kPanelColumns = 64;

// Of the outputs of an int8 linear: the weights are scale times their codes, `sum` is scale times the sum of the codes.
struct Channels {
  const float* scale;
  const float* sum;
  const float* bias;
};

// Kernels of a transformer over rows of one element type: float, or the bits of a bf16 (tower/rows.inl, int8.inl).
// Widths of rows that become bytes are multiples of kPanelColumns, which sums have.
template <typename T>
struct RowKernels {
  void (*layer_norm)(const float* x, int64_t rows, int64_t width, const float* weight, const float* bias, T* out);
  void (*store_linear)(const float* tile, int64_t rows, int64_t columns, const float* bias, Activation activation,
                       T* out, int64_t ld);
  void (*softmax)(const float* s, int64_t rows, int64_t ld, int64_t visible, int64_t step, float scale, T* p,
                  int64_t ld_p, float* inverse_sum);
  void (*store_scaled)(const float* tile, int64_t rows, int64_t columns, const float* factor, T* out, int64_t ld);
  void (*quantise)(const T* x, int64_t rows, int64_t width, uint8_t* codes, float* step, float* least);
  void (*quantise_finely)(const T* x, int64_t width, uint8_t* high, uint8_t* low, float* step, float* least);
  void (*store_sums)(const int32_t* sums, int64_t rows, const float* step, const float* least, const Channels& channels,
                     Activation activation, T* out, int64_t ld);
};

struct Kernels {
  const char* name;

  // Filters kStripRows rows along x. rows[r] points at the first pixel that `axis` may address; `width` pixels of
  // `channels` (1, 3, 4) bytes are read. out[r] receives axis.count pixels of 1 (grey) or 3 bytes. `strip` holds
  // width * channels * kStripRows bytes, `columns` axis.count * 3 * kStripRows.
  void (*resize_horizontal)(const uint8_t* const* rows, int32_t width, int32_t channels, const ResizeAxis& axis,
                            uint8_t* strip, uint8_t* columns, uint8_t* const* out);

  // out[i] = the filtered column i of `taps` rows of `width` bytes, `stride` bytes apart.
  void (*resize_vertical)(const uint8_t* rows, int64_t stride, const int32_t* weights, int32_t taps, int32_t width,
                          uint8_t* out);

  // Adds `count` classes of one image to `state`. x, y: [count]; y NULL without a no bank.
  // chunk_max: [ceil(count / kChunkClasses)], the largest x of each chunk, NaN ignored.
  void (*score_block)(const float* x, const float* y, int64_t count, float scale, ScoreState* state, float* chunk_max);

  // x [words, images] holds `rows` images, and others up to a multiple of kImageStep. Piece p is the words from
  // ends[p - 1] (0 for the first) to ends[p], and no piece is empty; that of image i goes to sums[i * ld + p].
  void (*sum_words)(const float* x, int64_t images, int64_t rows, const int32_t* ends, int64_t pieces, float scale,
                    WordSum* sums, int64_t ld);

  RowKernels<float> fp32;
  RowKernels<uint16_t> bf16;
  void (*transpose_words)(const uint32_t* in, int64_t rows, int64_t ld, int64_t columns, uint32_t* out, int64_t padded);
  void (*interleave_pairs)(const uint16_t* in, int64_t rows, int64_t ld, int64_t columns, uint16_t* out,
                           int64_t padded);
  // Scales of the codes of a panel's weights, [inputs, kPanelColumns]; not finite where a weight is not.
  void (*weight_scales)(const float* weights, int64_t inputs, float* scale);
  // Their codes, [inputs / 4, kPanelColumns, 4], and added to `sum` scale times the sum of each output's codes. Errors
  // are taken back by `factor` [inputs, inputs], upper triangle, unless it is NULL. Spoils the weights.
  void (*round_weights)(float* weights, int64_t inputs, const float* factor, const float* scale, int8_t* codes,
                        float* sum);
  void (*quantise_norm)(const float* x, int64_t rows, int64_t width, const float* weight, const float* bias, float* row,
                        uint8_t* codes, float* step, float* least);
  void (*add_sums)(const int32_t* sums, int64_t rows, const float* step, const float* least, const Channels& channels,
                   float* to, int64_t ld);
  // Products of codes (tower/code_products.inl) on a CPU with AVX-VNNI (cpu/dispatch.h), and on one without. Both NULL
  // in "base", and in targets with AVX-512: there oneDNN has them, or words of 16 bits are no faster than fp32.
  void (*multiply_codes)(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth, int32_t* c);
  void (*multiply_codes_as_words)(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth,
                                  int32_t* c);
};

namespace base {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace avx512bf16 {
extern const Kernels kernels;
}

}  // namespace clipn::cpu

#endif  // CLIPN_CPU_KERNELS_H_
