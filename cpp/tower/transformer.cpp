// Three steps a block: LayerNorm and q, k, v by row blocks; attention by sequence and head; the rest of the block by
// row blocks, whose hidden layer (4 x width in most networks) therefore never leaves a core's L2. A row block waits for
// the sequences that it has rows of and the other way round, not for all others; so what overwrites q, k and v of some
// rows, or what attention gave them, has waited for all that read them. Buffers are kept between calls.
#include "tower/transformer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu/dispatch.h"
#include "tower/element.h"
#include "tower/int8_linear.h"
#include "tower/row_blocks.h"
#include "tower/tasks.h"

namespace clipn {
namespace {

// Queries whose scores are computed together: with the 208 keys of ViT-B/16 they stay in L1 and L2 (53 kB).
constexpr int64_t kMostQueries = 64;

// Keys are padded to whole vectors, values to whole AMX tiles of bf16 where there is AMX, else to pairs.
int64_t padded_keys(int64_t length) { return (length + 15) / 16 * 16; }
int64_t padded_values(int64_t length) {
  static const int64_t step = cpu::has_amx_bf16() ? 32 : 2;
  return (length + step - 1) / step * step;
}

// From one row of probabilities to the next: the softmax writes whole vectors.
int64_t probabilities_apart(int64_t length) { return std::max(padded_keys(length), padded_values(length)); }

int64_t panel_of(int64_t column) { return column / kPanel; }

float mean_of(const float* row, int64_t width) {
  float sum = 0;
  for (int64_t j = 0; j < width; ++j) sum += row[j];
  return sum / static_cast<float>(width);
}

// Those of `rows`, which ascend, in [begin, end), counted from begin.
std::vector<int64_t> within(const std::vector<int64_t>& rows, int64_t begin, int64_t end) {
  std::vector<int64_t> all;
  for (auto row = std::lower_bound(rows.begin(), rows.end(), begin); row != rows.end() && *row < end; ++row) {
    all.push_back(*row - begin);
  }
  return all;
}

TaskRange same_task(int64_t task) { return {task, task + 1}; }

}  // namespace

Sequences Sequences::of_length(int64_t count, int64_t length) {
  Sequences all;
  for (int64_t i = 0; i < count; ++i) {
    all.readout.push_back(i * length);
    all.starts.push_back((i + 1) * length);
  }
  return all;
}

int64_t Sequences::of(int64_t row) const {
  return std::upper_bound(starts.begin(), starts.end(), row) - starts.begin() - 1;
}

TaskRange Sequences::with_rows_of(const RowBlocks& blocks, int64_t block) const {
  return {of(blocks.begin(block)), of(blocks.begin(block + 1) - 1) + 1};
}

TaskRange Sequences::blocks_with(const RowBlocks& blocks, int64_t i) const {
  return {blocks.of(starts[i]), blocks.of(starts[i + 1] - 1) + 1};
}

int64_t Sequences::longest() const {
  int64_t most = 0;
  for (size_t i = 1; i < starts.size(); ++i) most = std::max(most, starts[i] - starts[i - 1]);
  return most;
}

template <typename T, typename Linear>
Transformer<T, Linear>::Transformer(std::vector<Block<Linear>> blocks, int64_t heads, cpu::Activation activation,
                                    Attention attention)
    : blocks_(std::move(blocks)),
      heads_(heads),
      width_(blocks_.front().out.out()),
      inner_(blocks_.front().out.in()),
      scale_(1.0F / std::sqrt(static_cast<float>(width_) / static_cast<float>(heads_))),
      activation_(activation),
      attention_(attention),
      kernels_(row_kernels<T>()) {}

// What the linears alone take.
template <typename T, typename Linear>
void Transformer<T, Linear>::prepare_rows() {
  scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(at::get_num_threads())));
  for (Scratch& s : scratch_) s.rows.reserve(kMostRows, std::max({width_, inner_, blocks_.front().fc.out()}));
}

template <typename T, typename Linear>
void Transformer<T, Linear>::prepare(const Sequences& sequences) {
  const int64_t rows = sequences.rows(), head = inner_ / heads_;
  const int64_t longest = sequences.longest(), hidden = blocks_.front().fc.out();
  prepare_rows();
  for (Scratch& s : scratch_) {
    s.normed.reserve(kMostRows * width_);
    s.hidden.reserve(kMostRows * hidden);
    s.keys.reserve(padded_keys(longest) * head);
    s.values.reserve(padded_values(longest) * head);
    s.scores.reserve(kMostQueries * std::max(padded_keys(longest), head));
    s.probabilities.reserve(kMostQueries * probabilities_apart(longest));
    s.inverse_sum.reserve(kMostQueries);
  }
  qkv_.reserve(rows * 3 * inner_);
  attended_.reserve(rows * inner_);
}

template <typename T, typename Linear>
void Transformer<T, Linear>::layer_norm(const Norm& norm, const float* x, int64_t rows, T* out) const {
  kernels_.layer_norm(x, rows, width_, norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(), out);
}

// In panels of the linear, if each holds whole heads; else row by row.
template <typename T, typename Linear>
QkvLayout Transformer<T, Linear>::layout(int64_t rows) const {
  return {.rows = rows, .wide = kPanel % (inner_ / heads_) == 0 ? kPanel : 3 * inner_};
}

// Columns [first, end) of q, k, v of all rows, to the same columns of out, 3 inner of them.
template <typename T, typename Linear>
Step Transformer<T, Linear>::to_qkv(const Block<Linear>& block, const float* x, const Sequences& sequences,
                                    int64_t first_column, int64_t end_column, T* out) {
  const RowBlocks blocks(sequences.rows());
  const QkvLayout laid = layout(sequences.rows());
  const auto run = [=, this, &block, &sequences](int64_t task, int64_t thread) {
    const int64_t begin = blocks.begin(task), height = blocks.begin(task + 1) - begin;
    Scratch& s = scratch(thread);
    s.rows.set_norm(block.ln_1, x + begin * width_, height, width_, within(sequences.readout, begin, begin + height));
    for (int64_t panel = panel_of(first_column); panel < panel_of(end_column); ++panel) {
      block.qkv.store(panel, s.rows, cpu::Activation::kNone, out + laid.at(begin, panel * kPanel), laid.wide);
    }
  };
  return {.tasks = blocks.count, .run = run, .needs = same_task};  // of finish() before
}

// softmax(q k^T / sqrt(head)) v. Queries are those of qkv_, or one row a sequence when only the readout is asked for;
// then `weighted` [rows, inner] takes the summands, each value times its weight.
template <typename T, typename Linear>
Step Transformer<T, Linear>::attend(const T* queries, const Sequences& sequences, bool readout_only, T* out,
                                    T* weighted) {
  const int64_t head = inner_ / heads_;
  const QkvLayout all = layout(sequences.rows()), asked = layout(readout_only ? sequences.count() : sequences.rows());
  const int64_t ld = all.wide;
  const cpu::Kernels& kernels = cpu::kernels();
  const bool causal = attention_ == Attention::kCausal;
  const auto run = [=, this, &kernels, &sequences](int64_t task, int64_t thread) {
    const int64_t i = task / heads_, column = task % heads_ * head;
    const int64_t start = sequences.starts[i], length = sequences.starts[i + 1] - start;
    const int64_t keys = padded_keys(length), depth = padded_values(length), apart = probabilities_apart(length);
    const T* k = qkv_.data() + all.at(start, inner_ + column);
    const T* v = qkv_.data() + all.at(start, 2 * inner_ + column);
    Scratch& s = scratch(thread);

    constexpr int64_t kPerWord = sizeof(uint32_t) / sizeof(T);
    kernels.transpose_words(reinterpret_cast<const uint32_t*>(k), length, ld / kPerWord, head / kPerWord, s.keys.data(),
                            keys);
    const T* packed_keys = reinterpret_cast<const T*>(s.keys.data());
    if constexpr (!std::is_same_v<T, float>) kernels.interleave_pairs(v, length, ld, head, s.values.data(), depth);

    const int64_t first = readout_only ? i : start, count = readout_only ? 1 : length;
    // As even as can be: a block of a few rows costs as much as one of many.
    const int64_t blocks = (count + kMostQueries - 1) / kMostQueries;
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = first + count * block / blocks, rows = first + count * (block + 1) / blocks - row;
      const int64_t position = (readout_only ? sequences.readout[i] : row) - start;
      multiply(queries + asked.at(row, column), ld, packed_keys, keys, rows, keys, head, s.scores.data(), keys);
      kernels_.softmax(s.scores.data(), rows, keys, causal ? position + 1 : length, causal ? 1 : 0, scale_,
                       s.probabilities.data(), apart, s.inverse_sum.data());
      if constexpr (std::is_same_v<T, float>) {
        multiply(s.probabilities.data(), apart, v, ld, rows, head, length, s.scores.data(), head);
      } else {
        multiply(s.probabilities.data(), apart, s.values.data(), head, rows, head, depth, s.scores.data(), head);
      }
      kernels_.store_scaled(s.scores.data(), rows, head, s.inverse_sum.data(), out + row * inner_ + column, inner_);
      if (weighted == nullptr) continue;
      for (int64_t r = 0; r < length; ++r) {
        const float factor = to_float(s.probabilities.data()[r]) * s.inverse_sum.data()[0];
        T* to = weighted + (start + r) * inner_ + column;
        for (int64_t j = 0; j < head; ++j) to[j] = element<T>(to_float(v[r * ld + j]) * factor);
      }
    }
  };
  const RowBlocks blocks(sequences.rows());
  // Of to_qkv() before.
  const auto needs = [this, blocks, &sequences](int64_t task) { return sequences.blocks_with(blocks, task / heads_); };
  return {.tasks = sequences.count() * heads_, .run = run, .needs = needs};
}

// x += out(attended); x += proj(activation(fc(ln_2(x)))).
template <typename T, typename Linear>
Step Transformer<T, Linear>::finish(const Block<Linear>& block, const T* attended, float* x,
                                    const Sequences& sequences) {
  const RowBlocks blocks(sequences.rows());
  const int64_t hidden = block.fc.out();
  const auto run = [=, this, &block, &sequences](int64_t task, int64_t thread) {
    const int64_t begin = blocks.begin(task), height = blocks.begin(task + 1) - begin;
    float* rows_of_x = x + begin * width_;
    const std::vector<int64_t> fine = within(sequences.readout, begin, begin + height);
    Scratch& s = scratch(thread);
    s.rows.set(attended + begin * inner_, height, inner_, fine);
    for (int64_t panel = 0; panel < block.out.panels(); ++panel) {
      block.out.add(panel, s.rows, rows_of_x + panel * kPanel, width_);
    }
    s.rows.set_norm(block.ln_2, rows_of_x, height, width_, fine);
    for (int64_t panel = 0; panel < block.fc.panels(); ++panel) {
      block.fc.store(panel, s.rows, activation_, s.hidden.data() + panel * kPanel, hidden);
    }
    s.rows.set(s.hidden.data(), height, hidden, fine);
    for (int64_t panel = 0; panel < block.proj.panels(); ++panel) {
      block.proj.add(panel, s.rows, rows_of_x + panel * kPanel, width_);
    }
  };
  // Of attend() before, with all its heads.
  const auto needs = [this, blocks, &sequences](int64_t task) {
    const TaskRange range = sequences.with_rows_of(blocks, task);
    return TaskRange{range.begin * heads_, range.end * heads_};
  };
  return {.tasks = blocks.count, .run = run, .needs = needs};
}

// The first `count` blocks on all rows of x.
template <typename T, typename Linear>
void Transformer<T, Linear>::apply(size_t count, float* x, const Sequences& sequences) {
  std::vector<Step> steps;
  for (size_t i = 0; i < count; ++i) {
    steps.push_back(to_qkv(blocks_[i], x, sequences, 0, 3 * inner_, qkv_.data()));
    steps.push_back(attend(qkv_.data(), sequences, false, attended_.data()));
    steps.push_back(finish(blocks_[i], attended_.data(), x, sequences));
  }
  run_steps(steps);
}

template <typename T, typename Linear>
void Transformer<T, Linear>::run(float* x, const Sequences& sequences) {
  prepare(sequences);
  apply(blocks_.size(), x, sequences);
}

template <typename T, typename Linear>
float* Transformer<T, Linear>::run_to_readout(float* x, const Sequences& sequences, bool keep_weighted) {
  prepare(sequences);
  const int64_t rows = sequences.rows(), count = sequences.count();
  apply(blocks_.size() - 1, x, sequences);
  const Block<Linear>& last = blocks_.back();
  float* readout = readout_.reserve(count * width_);
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(readout + i * width_, x + sequences.readout[i] * width_, static_cast<size_t>(width_) * sizeof(float));
  }
  T* queries = queries_.reserve(count * 3 * inner_);
  const Sequences alone = Sequences::of_length(count, 1);
  run_steps({to_qkv(last, readout, alone, 0, inner_, queries)});  // by itself, for its blocks are of other rows
  T* weighted = keep_weighted ? weighted_.reserve(rows * inner_) : nullptr;
  run_steps({to_qkv(last, x, sequences, inner_, 3 * inner_, qkv_.data()),
             attend(queries, sequences, true, attended_.data(), weighted),
             finish(last, attended_.data(), readout, alone)});
  return readout;
}

template <typename T, typename Linear>
void Transformer<T, Linear>::run_linears(int64_t rows) {
  prepare_rows();
  const RowBlocks blocks(rows);
  std::vector<Step> steps;
  for (const Block<Linear>& block : blocks_) {
    for (const Linear* linear : {&block.qkv, &block.out, &block.fc, &block.proj}) {
      const auto run = [=, this](int64_t task, int64_t thread) {
        const int64_t begin = blocks.begin(task), height = blocks.begin(task + 1) - begin;
        typename Linear::Rows& any = scratch(thread).rows;
        any.set_any(height, linear->in());
        for (int64_t panel = 0; panel < linear->panels(); ++panel) linear->multiply_only(panel, any);
      };
      steps.push_back({.tasks = blocks.count, .run = run, .needs = same_task});
    }
  }
  run_steps(steps);
}

template <typename T, typename Linear>
void Transformer<T, Linear>::project(const Norm& norm, const PackedLinear<T>& linear, const float* x, int64_t rows,
                                     float* out) {
  const RowBlocks blocks(rows);
  for_each_task(blocks.count, [&](int64_t task, int64_t thread) {
    const int64_t begin = blocks.begin(task), height = blocks.begin(task + 1) - begin;
    T* normed = scratch(thread).normed.data();
    layer_norm(norm, x + begin * width_, height, normed);
    for (int64_t panel = 0; panel < linear.panels(); ++panel) {
      linear.multiply(panel, normed, height, width_, out + begin * linear.out() + panel * kPanel, linear.out(), false);
    }
  });
}

template <typename T, typename Linear>
void Transformer<T, Linear>::project_contributions(const Norm& norm, const PackedLinear<T>& linear,
                                                   const float* readout, const Sequences& sequences, float* out) {
  const Linear& to_width = blocks_.back().out;
  const float* weight = norm.weight.const_data_ptr<float>();
  float* inverse = inverse_deviation_.reserve(sequences.rows());  // of the readout row that a row adds to
  for (int64_t i = 0; i < sequences.count(); ++i) {
    const float* row = readout + i * width_;
    const float mean = mean_of(row, width_);
    float squares = 0;
    for (int64_t j = 0; j < width_; ++j) squares += (row[j] - mean) * (row[j] - mean);
    std::fill(inverse + sequences.starts[i], inverse + sequences.starts[i + 1],
              1.0F / std::sqrt(squares / static_cast<float>(width_) + 1e-5F));
  }
  for (Scratch& s : scratch_) s.summand.reserve(kMostRows * width_);
  const RowBlocks blocks(sequences.rows());
  for_each_task(blocks.count, [&](int64_t task, int64_t thread) {
    const int64_t begin = blocks.begin(task), height = blocks.begin(task + 1) - begin;
    Scratch& s = scratch(thread);
    s.rows.set(weighted_.data() + begin * inner_, height, inner_, {});
    for (int64_t panel = 0; panel < to_width.panels(); ++panel) {
      to_width.product(panel, s.rows, s.summand.data() + panel * kPanel, width_);
    }
    for (int64_t r = 0; r < height; ++r) {
      const float* row = s.summand.data() + r * width_;
      const float mean = mean_of(row, width_), factor = inverse[begin + r];
      T* to = s.normed.data() + r * width_;
      for (int64_t j = 0; j < width_; ++j) to[j] = element<T>((row[j] - mean) * factor * weight[j]);
    }
    for (int64_t panel = 0; panel < linear.panels(); ++panel) {
      linear.multiply(panel, s.normed.data(), height, width_, out + begin * linear.out() + panel * kPanel, linear.out(),
                      false);
    }
  });
}

template class Transformer<float>;
template class Transformer<uint16_t>;
template class Transformer<float, Int8Linear<float>>;
template class Transformer<uint16_t, Int8Linear<uint16_t>>;

}  // namespace clipn
