// Which rows a block has, and which blocks and sequences share rows: what a tower's tasks wait for.
#include "tower/row_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tower/transformer.h"

namespace clipn {
namespace {

TEST(RowBlocks, CoverAllRowsAndKnowTheBlockOfEach) {
  for (const int64_t rows : {1, 7, 197, 1576, 6304}) {
    const RowBlocks blocks(rows);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t block = blocks.of(row);
      ASSERT_GE(row, blocks.begin(block)) << rows;
      ASSERT_LT(row, blocks.begin(block + 1)) << rows;
    }
    EXPECT_EQ(blocks.begin(blocks.count), rows);
  }
}

// Lengths of texts and of images, in turns.
Sequences some_sequences(std::mt19937& random) {
  Sequences all;
  for (uint32_t left = 1 + random() % 40; left > 0; --left) {
    all.starts.push_back(all.rows() + 1 + static_cast<int64_t>(random() % (left % 2 == 0 ? 77 : 300)));
  }
  return all;
}

TEST(RowBlocks, AndSequencesKnowEachOtherByTheRowsTheyShare) {
  std::mt19937 random(5);
  for (int turn = 0; turn < 50; ++turn) {
    const Sequences sequences = some_sequences(random);
    const RowBlocks blocks(sequences.rows());
    for (int64_t block = 0; block < blocks.count; ++block) {
      const TaskRange with = sequences.with_rows_of(blocks, block);
      for (int64_t i = 0; i < sequences.count(); ++i) {
        const int64_t first = std::max(sequences.starts[i], blocks.begin(block));
        const int64_t end = std::min(sequences.starts[i + 1], blocks.begin(block + 1));
        const TaskRange of = sequences.blocks_with(blocks, i);
        ASSERT_EQ(with.begin <= i && i < with.end, first < end) << block << ", " << i;
        ASSERT_EQ(of.begin <= block && block < of.end, first < end) << block << ", " << i;
      }
    }
  }
}

}  // namespace
}  // namespace clipn
