// Products of codes, bytes times signed bytes, on CPUs without AVX-512: c = a b, exact.
// What      a [rows, depth] codes, b [depth / 4, kPanelColumns, 4] of one panel, c [rows, kPanelColumns]; depth is a
//           multiple of 4. By AVX-VNNI's vpdpbusd, or by AVX2's vpmaddwd, for which bytes become words of 16 bits: its
//           vpmaddubsw would take the bytes, and saturate.
// Algorithm blocks of 6 x 16 sums in registers; words are made a piece of the depth at a time, so that they stay in L1,
//           even bytes and odd ones apart, which needs no shuffle.
// Cost      rows * 64 * depth / 32 vpdpbusd; or / 16 vpmaddwd and as many additions, which bound it: where a CPU
//           starts two vpmaddwd in a cycle, 1.7 times as fast as fp32 at the best.
// Threads   none; writes only to its arguments.

#if defined(__AVX2__) && !defined(__AVX512F__)
#define CLIPN_MULTIPLY_CODES multiply_codes
#define CLIPN_MULTIPLY_CODES_AS_WORDS multiply_codes_as_words

typedef int32_t Words __attribute__((vector_size(32)));
typedef int16_t HalfWords __attribute__((vector_size(32)));

// 12 of the 16 registers; two more are for the weights and two for codes and products.
constexpr int64_t kBlockRows = 6, kBlockColumns = 16;

static inline Words everywhere(const void* four_bytes) {
  int32_t four;
  __builtin_memcpy(&four, four_bytes, sizeof four);
  return four - Words{};
}

template <int kRows>
static inline void multiply_block(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t depth, int32_t* c) {
  Words sums[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = Words{};
  for (int64_t k = 0; k < depth; k += 4, b += 4 * kPanelColumns) {
    Words left, right;
    __builtin_memcpy(&left, b, sizeof left);
    __builtin_memcpy(&right, b + sizeof left, sizeof right);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Words codes = everywhere(a + r * ld_a + k);
      // Through an intrinsic g++ 12 copies each sum to another register and back.
      asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums[r][0]) : "x"(codes), "x"(left));
      asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums[r][1]) : "x"(codes), "x"(right));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(c + r * kPanelColumns, &sums[r][0], sizeof(Words));
    __builtin_memcpy(c + r * kPanelColumns + 8, &sums[r][1], sizeof(Words));
  }
}

// c += a b: a [kRows, pairs] of two words each, b [pairs, kBlockColumns, 2].
template <int kRows>
static inline void add_block(const int32_t* a, const int16_t* b, int64_t pairs, int32_t* c) {
  Words sums[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(&sums[r][0], c + r * kPanelColumns, sizeof(Words));
    __builtin_memcpy(&sums[r][1], c + r * kPanelColumns + 8, sizeof(Words));
  }
  for (int64_t k = 0; k < pairs; ++k, b += 2 * kBlockColumns) {
    Words left, right;
    __builtin_memcpy(&left, b, sizeof left);
    __builtin_memcpy(&right, b + kBlockColumns, sizeof right);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      Words codes = everywhere(a + r * pairs + k), product;
      // Left to itself g++ 12 takes one register more than there are.
      asm("vpmaddwd %[left], %[codes], %[product]\n\t"
          "vpaddd %[product], %[first], %[first]\n\t"
          "vpmaddwd %[right], %[codes], %[codes]\n\t"
          "vpaddd %[codes], %[second], %[second]"
          : [first] "+&x"(sums[r][0]), [second] "+x"(sums[r][1]), [codes] "+&x"(codes), [product] "=&x"(product)
          : [left] "x"(left), [right] "x"(right));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(c + r * kPanelColumns, &sums[r][0], sizeof(Words));
    __builtin_memcpy(c + r * kPanelColumns + 8, &sums[r][1], sizeof(Words));
  }
}

template <int kCount>
struct RowCount {
  static constexpr int value = kCount;
};

// Calls block(first row, RowCount<...>) for blocks as even as can be: none is left with a row or two.
template <typename Block>
static inline void for_each_row_block(int64_t rows, const Block& block) {
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = rows * i / blocks;
    switch (rows * (i + 1) / blocks - first) {
      case 6:
        block(first, RowCount<6>{});
        break;
      case 5:
        block(first, RowCount<5>{});
        break;
      case 4:
        block(first, RowCount<4>{});
        break;
      case 3:
        block(first, RowCount<3>{});
        break;
      case 2:
        block(first, RowCount<2>{});
        break;
      default:
        block(first, RowCount<1>{});
    }
  }
}

static void multiply_codes(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth, int32_t* c) {
  for (int64_t column = 0; column < kPanelColumns; column += kBlockColumns) {
    for_each_row_block(rows, [=](int64_t first, auto count) {
      multiply_block<count.value>(a + first * ld_a, ld_a, b + 4 * column, depth, c + first * kPanelColumns + column);
    });
  }
}

// Inputs whose words are made together: 16 KB of weights and 1.5 KB of codes.
constexpr int64_t kWordDepth = 128;

// Of each four bytes the even two, for all columns, and behind them the odd two; kBlockColumns by kBlockColumns.
static inline void widen_weights(const int8_t* b, int64_t depth, int16_t* words) {
  constexpr int64_t kLane = sizeof(HalfWords);
  for (int64_t column = 0; column < kPanelColumns; column += kBlockColumns, words += kBlockColumns * depth) {
    int16_t *even = words, *odd = words + kBlockColumns * depth / 2;
    for (int64_t k = 0; k < depth; k += 4) {
      const int8_t* from = b + k * kPanelColumns + 4 * column;
      for (int64_t half = 0; half < 2; ++half, from += kLane, even += kLane / 2, odd += kLane / 2) {
        HalfWords bytes;
        __builtin_memcpy(&bytes, from, sizeof bytes);
        const HalfWords low = (bytes << 8) >> 8, high = bytes >> 8;
        __builtin_memcpy(even, &low, sizeof low);
        __builtin_memcpy(odd, &high, sizeof high);
      }
    }
  }
}

static inline void widen_codes(const uint8_t* a, int64_t ld_a, int64_t rows, int64_t depth, int32_t* pairs) {
  for (int64_t r = 0; r < rows; ++r, a += ld_a, pairs += depth / 2) {
    for (int64_t i = 0; i < depth / 4; ++i) {
      uint32_t four;
      __builtin_memcpy(&four, a + 4 * i, sizeof four);
      pairs[i] = four & 0x00ff00ff;
      pairs[depth / 4 + i] = four >> 8 & 0x00ff00ff;
    }
  }
}

static void multiply_codes_as_words(const uint8_t* a, int64_t ld_a, const int8_t* b, int64_t rows, int64_t depth,
                                    int32_t* c) {
  alignas(64) int16_t weights[kWordDepth * kPanelColumns];
  alignas(64) int32_t codes[kBlockRows * kWordDepth / 2];
  __builtin_memset(c, 0, sizeof *c * rows * kPanelColumns);
  for (int64_t k = 0; k < depth; k += kWordDepth) {
    const int64_t piece = depth - k < kWordDepth ? depth - k : kWordDepth;
    widen_weights(b + k * kPanelColumns, piece, weights);
    for_each_row_block(rows, [&](int64_t first, auto count) {
      widen_codes(a + first * ld_a + k, ld_a, count.value, piece, codes);
      for (int64_t column = 0; column < kPanelColumns; column += kBlockColumns) {
        int32_t* to = c + first * kPanelColumns + column;
        add_block<count.value>(codes, weights + column * piece, piece / 2, to);
      }
    });
  }
}
#else
#define CLIPN_MULTIPLY_CODES nullptr
#define CLIPN_MULTIPLY_CODES_AS_WORDS nullptr
#endif
