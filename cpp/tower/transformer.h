// The residual blocks of a CLIP tower (spec 1.2, 1.3) over sequences laid end to end, with packed weights.
#ifndef CLIPN_TOWER_TRANSFORMER_H_
#define CLIPN_TOWER_TRANSFORMER_H_

#include <vector>

#include "tower/linear.h"
#include "tower/row_blocks.h"
#include "tower/tasks.h"

namespace clipn {

/// x += out(attention(qkv(ln_1(x)))); x += proj(activation(fc(ln_2(x)))).
template <typename Linear>
struct Block {
  Norm ln_1;
  Linear qkv, out;
  Norm ln_2;
  Linear fc, proj;
};

/// Rows [starts[i], starts[i + 1]) of x are sequence i; readout[i], which ascend, is the row that is asked for. In 8
/// bits it is fine (Rows of a linear): its own errors reach the feature whole, those of the others as one of many,
/// through attention. Others stay in 8 bits where all are projected, too.
struct Sequences {
  std::vector<int64_t> starts{0};
  std::vector<int64_t> readout;

  /// `count` sequences of `length` rows, whose first is asked for.
  static Sequences of_length(int64_t count, int64_t length);

  int64_t count() const { return static_cast<int64_t>(starts.size()) - 1; }
  int64_t rows() const { return starts.back(); }
  int64_t longest() const;
  /// The sequence that has a row.
  int64_t of(int64_t row) const;
  /// Sequences that have rows of a block.
  TaskRange with_rows_of(const RowBlocks& blocks, int64_t block) const;
  /// Blocks that have rows of sequence i.
  TaskRange blocks_with(const RowBlocks& blocks, int64_t i) const;
};

/// Where q, k and v of the rows lie: by panels of `wide` columns, each [rows, wide], so that what attention reads for a
/// head of a sequence lies together.
struct QkvLayout {
  int64_t rows, wide;
  int64_t at(int64_t row, int64_t column) const { return (column / wide * rows + row) * wide + column % wide; }
};

/// What a token sees of its sequence: all of it, or itself and those before it.
enum class Attention { kFull, kCausal };

/// Attention is computed in T, and so is what is stored between linears; these are PackedLinear<T> or Int8Linear<T>.
template <typename T, typename Linear = PackedLinear<T>>
class Transformer {
 public:
  /// Heads may be wider than width / heads by zeros in `qkv` and `out`.
  Transformer(std::vector<Block<Linear>> blocks, int64_t heads, cpu::Activation activation, Attention attention);

  /// All rows of x, fp32 [rows, width], in place.
  void run(float* x, const Sequences& sequences);

  /// The readout rows only, fp32 [count, width], valid until the next call: the last block computes nothing but them.
  /// Spoils x. With `keep_weighted`, project_contributions() can be called next.
  float* run_to_readout(float* x, const Sequences& sequences, bool keep_weighted = false);

  /// The four linears of every block on `rows` rows of whatever the buffers hold and nothing else: what the blocks
  /// cannot be faster than.
  void run_linears(int64_t rows);

  int64_t width() const { return width_; }

  /// x W^T of normalised rows: what follows the blocks. out is fp32 [rows, linear.out()].
  void project(const Norm& norm, const PackedLinear<T>& linear, const float* x, int64_t rows, float* out);

  /// What each row adds to the projected readout row of its sequence through the last block's attention, fp32
  /// [rows, linear.out()]: its value times its attention weight, through `out` of the block, `norm` with the readout
  /// row's own deviation, and `linear`. All of it is linear, so that contributions add up: with what the rest of the
  /// readout row (its residual, biases and MLP) gives they are its projection.
  /// @param readout of run_to_readout() with `keep_weighted`
  void project_contributions(const Norm& norm, const PackedLinear<T>& linear, const float* readout,
                             const Sequences& sequences, float* out);

 private:
  /// One thread's working memory.
  struct Scratch {
    typename Linear::Rows rows;
    Buffer<T> normed, hidden, probabilities, values;
    Buffer<uint32_t> keys;
    Buffer<float> scores, inverse_sum, summand;
  };

  void layer_norm(const Norm& norm, const float* x, int64_t rows, T* out) const;
  // A step refers to what it is given until it has run.
  Step to_qkv(const Block<Linear>& block, const float* x, const Sequences& sequences, int64_t first_column,
              int64_t end_column, T* out);
  Step attend(const T* queries, const Sequences& sequences, bool readout_only, T* out, T* weighted = nullptr);
  Step finish(const Block<Linear>& block, const T* attended, float* x, const Sequences& sequences);
  void apply(size_t count, float* x, const Sequences& sequences);
  QkvLayout layout(int64_t rows) const;
  void prepare(const Sequences& sequences);
  void prepare_rows();
  Scratch& scratch(int64_t thread) { return scratch_[thread]; }

  std::vector<Block<Linear>> blocks_;
  const int64_t heads_, width_;
  const int64_t inner_;  // of all heads together: the width, or more where their weights are padded
  const float scale_;    // of the logits: 1 / sqrt of a head's own width
  const cpu::Activation activation_;
  const Attention attention_;
  const cpu::RowKernels<T>& kernels_;
  std::vector<Scratch> scratch_;
  Buffer<T> qkv_, attended_, queries_, weighted_;
  Buffer<float> readout_, inverse_deviation_;
};

}  // namespace clipn

#endif  // CLIPN_TOWER_TRANSFORMER_H_
