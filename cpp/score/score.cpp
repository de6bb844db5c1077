#include "score/score.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/dispatch.h"
#include "cuda/open.h"
#include "error.h"
#include "extent.h"
#include "score/products.h"
#include "score/words.h"
#include "tower/tasks.h"

#ifndef _OPENMP
#error "compile with -fopenmp: without it at::parallel_for runs serially, and nothing says so"
#endif

namespace clipn {
namespace {

// Class ranges that may run in parallel. Their borders depend on the number of classes alone.
constexpr int64_t kMaxSegments = 16;
// Ranges of words are as long as leaves each thread this many tasks: what is summed does not depend on them.
constexpr int64_t kTasksPerThread = 4;
// States and top lists of the images in flight, but for a tile of images at least, however long their lists are.
constexpr int64_t kStateBytes = int64_t{64} << 20;

struct Candidate {
  float x, y;
  int32_t index;
};

// Order of the top list; as a heap's "less" it keeps the worst candidate in front.
bool better(const Candidate& one, const Candidate& other) {
  return one.x > other.x || (one.x == other.x && one.index < other.index);
}

// The best `capacity` candidates of one image in one segment.
struct TopList {
  Candidate* data;
  int64_t capacity;
  int64_t size = 0;

  void push(const Candidate& candidate) {
    if (size < capacity) {
      data[size++] = candidate;
      std::push_heap(data, data + size, better);
    } else if (better(candidate, data[0])) {
      std::pop_heap(data, data + size, better);
      data[size - 1] = candidate;
      std::push_heap(data, data + size, better);
    }
  }

  bool wants(float x) const { return size < capacity || x > data[0].x; }
};

struct Plan {
  int64_t segments, segment_classes;  // every segment but the last is this long
  int64_t capacity;                   // candidates per image and segment
  int64_t chunk_rows;                 // images per round
  WordPieces pieces;
  int64_t spans, span_blocks;  // ranges of words, 0 without; every span but the last has this many blocks

  explicit Plan(const clipn_score_input& input) : pieces(input) {
    const int64_t n = input.n, c = input.c, k = input.k;
    const int64_t blocks = (c + kTileClasses - 1) / kTileClasses;
    const int64_t blocks_each = (blocks + kMaxSegments - 1) / kMaxSegments;
    segment_classes = blocks_each * kTileClasses;
    segments = (blocks + blocks_each - 1) / blocks_each;
    capacity = std::min({k, segment_classes, c});
    const int64_t row_bytes = segments * (int64_t{sizeof(cpu::ScoreState)} + int64_t{sizeof(Candidate)} * capacity) +
                              pieces.count() * int64_t{sizeof(cpu::WordSum)};
    chunk_rows = std::clamp(kStateBytes / row_bytes / kTileImages * kTileImages, kTileImages, int64_t{4096});
    chunk_rows = std::min(chunk_rows, n);
    const int64_t row_blocks = (chunk_rows + kTileImages - 1) / kTileImages;
    const int64_t wanted = (kTasksPerThread * at::get_num_threads() + row_blocks - 1) / row_blocks;
    span_blocks = std::max<int64_t>(1, pieces.blocks() / wanted);
    spans = (pieces.blocks() + span_blocks - 1) / span_blocks;
  }
};

void write_logits(const float* from, float scale, int64_t count, float* to) {
  for (int64_t j = 0; j < count; ++j) to[j] = scale * from[j];
}

// Images [row, row + rows) against classes [begin, end); states and top lists of image i at i * segments.
void score_segment(const cpu::Kernels& kernels, const clipn_score_input& input, const clipn_score_output& output,
                   int64_t row, int64_t rows, int64_t begin, int64_t end, int64_t segments, Tile& tile,
                   cpu::ScoreState* states, TopList* tops) {
  for (int64_t i = 0; i < rows; ++i) {
    states[i * segments] = {kNone, kNone, kNone, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  }
  const bool both = input.bank_no != nullptr;
  tile.reserve(rows, input.d, both);
  Products products(kernels, input.features + row * input.d, rows, input.d, tile);
  for (int64_t first = begin; first < end; first += kTileClasses) {
    const int64_t count = std::min(kTileClasses, end - first);
    products.with(input.bank_yes + first * input.d, count, tile.x.data());
    if (both) products.with(input.bank_no + first * input.d, count, tile.y.data());
    for (int64_t i = 0; i < rows; ++i) {
      const float* row_x = tile.x.data() + i * count;
      const float* row_y = both ? tile.y.data() + i * count : nullptr;
      kernels.score_block(row_x, row_y, count, input.scale, &states[i * segments], tile.chunk_max);
      TopList& top = tops[i * segments];
      for (int64_t j = 0; j < count && top.capacity > 0; ++j) {
        if (j % cpu::kChunkClasses == 0 && !top.wants(tile.chunk_max[j / cpu::kChunkClasses])) {
          j += cpu::kChunkClasses - 1;
        } else if (top.wants(row_x[j])) {
          top.push({row_x[j], both ? row_y[j] : kNaN, static_cast<int32_t>(first + j)});
        }
      }
      if (output.logits_yes != nullptr) {
        write_logits(row_x, input.scale, count, output.logits_yes + (row + i) * input.c + first);
      }
      if (output.logits_no != nullptr && both) {
        write_logits(row_y, input.scale, count, output.logits_no + (row + i) * input.c + first);
      }
    }
  }
}

double sigmoid(double v) { return v >= 0 ? 1.0 / (1.0 + std::exp(-v)) : std::exp(v) / (1.0 + std::exp(v)); }

// log sigma(v)
double log_sigmoid(double v) { return std::min(v, 0.0) - std::log1p(std::exp(-std::abs(v))); }

// The segments of one image, in class order.
struct Totals {
  double m, k, n, in = 0, in_max = 0, out = 0, mcm = 0, gap = 0;

  Totals(const cpu::ScoreState* states, int64_t segments, double s) : m(kNone), k(kNone), n(kNone) {
    for (int64_t i = 0; i < segments; ++i) {
      if (states[i].m > m) gap = states[i].gap;
      m = std::max<double>(m, states[i].m);
      k = std::max<double>(k, states[i].k);
      n = std::max<double>(n, states[i].n);
    }
    const auto weight = [](double scale, double from, double to) {
      return from == to ? 1.0 : std::exp(scale * (from - to));
    };
    for (int64_t i = 0; i < segments; ++i) {
      const double rescale_in = weight(s, states[i].k, k);
      in += rescale_in * states[i].in;
      in_max = std::max(in_max, rescale_in * states[i].in_max);
      out += weight(s, states[i].n, n) * states[i].out;
      mcm += weight(1.0, states[i].m, m) * states[i].mcm;
    }
  }
};

// Returns what the words are held against.
LabelSums finish_row(const clipn_score_input& input, const clipn_score_output& output, int64_t row,
                     const cpu::ScoreState* states, const TopList* tops, int64_t segments,
                     std::vector<Candidate>& merged) {
  const double s = input.scale;
  const bool both = input.bank_no != nullptr;
  const Totals t(states, segments, s);
  // l = sum of e^{a - s m}: every class is part "in", part "out".
  const double in = t.in * std::exp(s * (t.k - t.m));
  const double l = in + (both ? t.out * std::exp(s * (t.n - t.m)) : 0.0);
  const bool valid = !std::isnan(l) && !std::isnan(t.mcm);
  const bool no = valid && both;
  const auto write = [row](float* to, bool known, double value) { to[row] = known ? static_cast<float>(value) : kNaN; };
  // Log-odds of "in" against "out".
  const double odds = s * (t.k - t.n) + std::log(t.in) - std::log(t.out);
  write(output.msp, valid, 1.0 / l);
  output.max_logit[row] = valid ? input.scale * static_cast<float>(t.m) : kNaN;
  write(output.energy, valid, s * t.m + std::log(l));
  write(output.mcm, valid, 1.0 / t.mcm);
  write(output.ctw, no, sigmoid(s * t.gap));
  write(output.gap, no, s * t.gap);
  write(output.atd, no, sigmoid(odds));
  write(output.log_p_out, no, log_sigmoid(-odds));
  write(output.log_q_max, no, s * (t.k - t.m) + std::log(t.in_max) - std::log(l));

  merged.clear();
  for (int64_t i = 0; i < segments; ++i) merged.insert(merged.end(), tops[i].data, tops[i].data + tops[i].size);
  if (valid) std::partial_sort(merged.begin(), merged.begin() + input.k, merged.end(), better);
  for (int64_t i = 0; i < input.k; ++i) {
    const int64_t at = row * input.k + i;
    if (!valid) {
      output.top_index[at] = static_cast<int32_t>(i);
      output.top_p[at] = output.top_p_yes[at] = kNaN;
      continue;
    }
    const Candidate& entry = merged[i];
    output.top_index[at] = entry.index;
    output.top_p[at] = static_cast<float>(std::exp(s * (static_cast<double>(entry.x) - t.m)) / l);
    output.top_p_yes[at] = both ? static_cast<float>(sigmoid(s * (static_cast<double>(entry.x) - entry.y))) : kNaN;
  }
  return {t.m, valid ? l : kNaN, no ? in : kNaN};
}

void require(bool condition, const char* text) {
  if (!condition) throw Error(CLIPN_INVALID_ARG, text);
}

void check(const clipn_score_input& in, const clipn_score_output& out) {
  check_bank(in);
  require(out.size >= sizeof(clipn_score_output), "score: output.size is smaller than clipn_score_output");
  require(in.n >= 0, "score: n must be at least 0");
  require(in.k >= 0 && in.k <= in.c, "score: k must be in 0..c");
  require(fits_memory({in.n, std::max(in.c, in.d)}, sizeof(float)), "score: n, c and d are too large");
  if (in.n == 0) return;
  require(in.features != nullptr && in.bank_yes != nullptr, "score: features and bank_yes must not be NULL");
  require(out.ctw && out.atd && out.msp && out.max_logit && out.energy && out.mcm && out.gap && out.log_p_out &&
              out.log_q_max,
          "score: every [n] output must be given");
  require(in.k == 0 || (out.top_index && out.top_p && out.top_p_yes), "score: the top list must be given when k > 0");
  require(in.w == 0 || (out.neg_label && out.ole && out.word_max && out.word_index),
          "score: neg_label, ole, word_max and word_index must be given when w > 0");
}

}  // namespace

void check_bank(const clipn_score_input& in) {
  require(in.size >= sizeof(clipn_score_input), "score: input.size is smaller than clipn_score_input");
  require(std::isfinite(in.scale) && in.scale > 0, "score: scale must be a positive number");
  require(in.d >= 1, "score: d must be at least 1");
  require(in.c >= 1 && in.c <= std::numeric_limits<int32_t>::max(), "score: c must be in 1..2147483647");
  constexpr int64_t kItem = sizeof(float);
  require(fits_memory({in.c, in.d}, kItem), "score: c and d are too large");
  require(in.w >= 0 && in.w <= std::numeric_limits<int32_t>::max() && fits_memory({in.w, in.d}, kItem),
          "score: w must be in 0..2147483647, and w and d not too large");
  require((in.w == 0) == (in.groups == 0) && in.groups >= 0 && in.groups <= in.w,
          "score: groups must be in 1..w, or 0 without words");
  require(in.w == 0 || (in.words != nullptr && in.group_ends != nullptr),
          "score: words and group_ends must not be NULL when w > 0");
  int64_t grouped = 0;
  for (int64_t group = 0; group < in.groups; ++group) {
    require(in.group_ends[group] > grouped, "score: group_ends must rise from more than 0 to w");
    grouped = in.group_ends[group];
  }
  require(grouped == in.w, "score: group_ends must rise from more than 0 to w");
}

void score(const cpu::Kernels& kernels, const clipn_score_input& input, const clipn_score_output& output) {
  check(input, output);
  if (input.n == 0) return;
  if (output.logits_no != nullptr && input.bank_no == nullptr) {
    std::fill_n(output.logits_no, input.n * input.c, kNaN);
  }
  const Plan plan(input);
  std::vector<cpu::ScoreState> states(plan.chunk_rows * plan.segments);
  std::vector<Candidate> candidates(plan.chunk_rows * plan.segments * plan.capacity);
  std::vector<TopList> tops(plan.chunk_rows * plan.segments);
  std::vector<cpu::WordSum> sums(plan.chunk_rows * plan.pieces.count());
  std::vector<NearestWord> nearest(plan.chunk_rows * plan.spans);
  std::vector<Tile> tiles(at::get_num_threads());
  if (input.w == 0) write_no_words(input, output);

  for (int64_t row = 0; row < input.n; row += plan.chunk_rows) {
    const int64_t rows = std::min(plan.chunk_rows, input.n - row);
    for (size_t i = 0; i < tops.size(); ++i) tops[i] = {candidates.data() + i * plan.capacity, plan.capacity};
    const int64_t row_blocks = (rows + kTileImages - 1) / kTileImages;
    const int64_t word_tasks = row_blocks * plan.spans;  // the longer ones, so first
    for_each_task(word_tasks + row_blocks * plan.segments, [&](int64_t task, int64_t thread) {
      const c10::InferenceMode inference;
      const bool labels = task >= word_tasks;
      const int64_t place = labels ? task - word_tasks : task, ranges = labels ? plan.segments : plan.spans;
      const int64_t first = place / ranges * kTileImages, range = place % ranges;
      const int64_t count = std::min(kTileImages, rows - first), at = first * ranges + range;
      if (labels) {
        const int64_t begin = range * plan.segment_classes, end = std::min(begin + plan.segment_classes, input.c);
        score_segment(kernels, input, output, row + first, count, begin, end, ranges, tiles[thread], &states[at],
                      &tops[at]);
      } else {
        const int64_t begin = range * plan.span_blocks, end = std::min(begin + plan.span_blocks, plan.pieces.blocks());
        sum_word_blocks(kernels, input, plan.pieces, row + first, count, begin, end, ranges, tiles[thread],
                        &sums[first * plan.pieces.count()], &nearest[at]);
      }
    });
    at::parallel_for(0, rows, kTileImages, [&](int64_t from, int64_t to) {
      std::vector<Candidate> merged;
      for (int64_t i = from; i < to; ++i) {
        const LabelSums labels = finish_row(input, output, row + i, &states[i * plan.segments],
                                            &tops[i * plan.segments], plan.segments, merged);
        if (input.w > 0) {
          finish_words(input, output, plan.pieces, row + i, labels, &sums[i * plan.pieces.count()],
                       &nearest[i * plan.spans], plan.spans);
        }
      }
    });
  }
}

void score(const clipn_score_input& input, const clipn_score_output& output) {
  if (input.device == CLIPN_CUDA) {
    check(input, output);
    // The device keeps no logits, no words and short lists only; the rest is the CPU's, to the same 1e-5.
    const bool on_device =
        input.k <= kCudaMaxTop && output.logits_yes == nullptr && output.logits_no == nullptr && input.w == 0;
    if (on_device && input.n > 0) {
      write_no_words(input, output);
      score_by_plugin(input, output);
      return;
    }
  }
  score(cpu::kernels(), input, output);
}

}  // namespace clipn
