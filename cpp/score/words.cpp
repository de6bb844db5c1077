#include "score/words.h"

#include <algorithm>
#include <cmath>

namespace clipn {

WordPieces::WordPieces(const clipn_score_input& input) {
  int64_t from = 0;
  for (int64_t group = 0; group < input.groups; ++group) {
    of_group.push_back(count());
    while (from < input.group_ends[group]) {
      if (from % kTileClasses == 0) of_block.push_back(count());
      const int64_t block = from / kTileClasses * kTileClasses;
      from = std::min(block + kTileClasses, input.group_ends[group]);
      ends.push_back(static_cast<int32_t>(from - block));
    }
  }
  of_group.push_back(count());
  of_block.push_back(count());
}

void sum_word_blocks(const cpu::Kernels& kernels, const clipn_score_input& input, const WordPieces& pieces, int64_t row,
                     int64_t rows, int64_t begin, int64_t end, int64_t spans, Tile& tile, cpu::WordSum* sums,
                     NearestWord* nearest) {
  for (int64_t i = 0; i < rows; ++i) nearest[i * spans] = {kNone, -1};
  tile.reserve(rows, input.d, false);
  Products products(kernels, input.features + row * input.d, rows, input.d, tile);
  for (int64_t block = begin; block < end; ++block) {
    const int64_t first = block * kTileClasses, words = std::min(kTileClasses, input.w - first);
    const int64_t piece = pieces.of_block[block], count = pieces.of_block[block + 1] - piece;
    const float* x = products.by_class(input.words + first * input.d, words);
    kernels.sum_words(x, products.images(), rows, &pieces.ends[piece], count, input.scale, sums + piece,
                      pieces.count());
    for (int64_t i = 0; i < rows; ++i) {
      const cpu::WordSum* of_image = sums + i * pieces.count() + piece;
      NearestWord& best = nearest[i * spans];
      float m = best.x;
      for (int64_t p = 0; p < count; ++p) m = std::max(m, of_image[p].m);
      if (m == best.x) continue;
      int64_t word = 0;
      while (x[word * products.images() + i] != m) ++word;
      best = {m, static_cast<int32_t>(first + word)};
    }
  }
}

void finish_words(const clipn_score_input& input, const clipn_score_output& output, const WordPieces& pieces,
                  int64_t row, const LabelSums& labels, const cpu::WordSum* sums, const NearestWord* nearest,
                  int64_t spans) {
  // Relative to the labels' m, in double: e^{s (x - m)} of a word may be infinite, and then the labels' share is 0.
  const double s = input.scale;
  double all = 0, share = 0;
  for (int64_t group = 0; group < input.groups; ++group) {
    double words = 0;
    for (int64_t p = pieces.of_group[group]; p < pieces.of_group[group + 1]; ++p) {
      words += sums[p].sum * std::exp(s * (sums[p].m - labels.m));
    }
    share += labels.all / (labels.all + words);
    all += words;
  }
  NearestWord best{kNone, -1};
  for (int64_t i = 0; i < spans; ++i) {
    if (nearest[i].x > best.x) best = nearest[i];
  }
  const bool valid = !std::isnan(share);
  output.neg_label[row] = static_cast<float>(share / static_cast<double>(input.groups));
  output.ole[row] = static_cast<float>(labels.in / (labels.all + all));
  output.word_max[row] = valid ? input.scale * best.x : kNaN;
  output.word_index[row] = valid ? best.index : -1;
}

void write_no_words(const clipn_score_input& input, const clipn_score_output& output) {
  for (float* to : {output.neg_label, output.ole, output.word_max}) {
    if (to != nullptr) std::fill_n(to, input.n, kNaN);
  }
  if (output.word_index != nullptr) std::fill_n(output.word_index, input.n, -1);
}

}  // namespace clipn
