// Negative words in the score pass: their share of the scores beside that of the labels.
#ifndef CLIPN_SCORE_WORDS_H_
#define CLIPN_SCORE_WORDS_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "clipn/core.h"
#include "cpu/kernels.h"
#include "score/products.h"

namespace clipn {

// The score of an image with a NaN, and a product that is no product yet.
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kNone = -std::numeric_limits<float>::infinity();

// The words in blocks of kTileClasses, and those in pieces: the words of one group in one block. Of each image and
// piece a sum is kept, and the pieces are added in their order. So the bits depend on the groups alone, and not on how
// blocks are shared among threads.
struct WordPieces {
  explicit WordPieces(const clipn_score_input& input);

  int64_t blocks() const { return static_cast<int64_t>(of_block.size()) - 1; }
  int64_t count() const { return static_cast<int64_t>(ends.size()); }

  std::vector<int32_t> ends;                // [pieces] from the first word of the block
  std::vector<int64_t> of_block, of_group;  // the first piece of each, and behind the last how many there are
};

struct NearestWord {
  float x;
  int32_t index;
};

// Images [row, row + rows) against blocks [begin, end): image i's sums at i * pieces.count(), the nearest of these
// words at i * spans.
void sum_word_blocks(const cpu::Kernels& kernels, const clipn_score_input& input, const WordPieces& pieces, int64_t row,
                     int64_t rows, int64_t begin, int64_t end, int64_t spans, Tile& tile, cpu::WordSum* sums,
                     NearestWord* nearest);

// What is known of an image's labels, relative to their largest product m: sums of e^{s (x - m)}, and of these times
// p_yes (NaN without a no bank). Both are NaN where a product is.
struct LabelSums {
  double m, all, in;
};

// The four outputs of image `row`; `nearest` [spans] in the words' order.
void finish_words(const clipn_score_input& input, const clipn_score_output& output, const WordPieces& pieces,
                  int64_t row, const LabelSums& labels, const cpu::WordSum* sums, const NearestWord* nearest,
                  int64_t spans);

// Without words: NaN and -1, where there is room for them.
void write_no_words(const clipn_score_input& input, const clipn_score_output& output);

}  // namespace clipn

#endif  // CLIPN_SCORE_WORDS_H_
