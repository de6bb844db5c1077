// Resize of 8-bit pixels along one axis, as Pillow does it (spec 4.2): out = clamp((2^21 + sum_t q_t p_t) >> 22).
// Layout    horizontal: kStripRows rows are transposed to [byte of the row][row], filtered with the rows as vector
//           lanes, transposed back; vertical: the vector runs along the row.
// Cost      taps * width * 3 multiply-adds per row, about 4 * (input width) * 3 of them per row when shrinking; bound
//           by the 32-bit multiplications.
// Numerics  integers: q has 23 signed bits and sum |q| <= 1.26 * 2^22, so no sum leaves 32 bits and the order of
//           summation cannot change a byte. Every target gives the same bytes.
// Threads   none; writes only to its arguments.

static inline uint8_t to_byte(int32_t sum) {
  int32_t value = sum >> 22;
  value = value < 0 ? 0 : value;
  return (uint8_t)(value > 255 ? 255 : value);
}

// Sixteen bytes; the compiler's vector type, so one source serves every target (with a plain byte loop the
// whole resize took twice as long).
typedef uint8_t Bytes __attribute__((vector_size(16)));

// The 16 x 16 bytes of `from` transposed: four rounds of interleaving row i with row i + 8.
static inline void transpose_tile(Bytes* from) {
  for (int32_t round = 0; round < 4; ++round) {
    Bytes to[16];
    for (int32_t i = 0; i < 8; ++i) {
      to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      to[2 * i + 1] =
          __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int32_t i = 0; i < 16; ++i) from[i] = to[i];
  }
}

// [kStripRows][length] to [length][kStripRows].
static void transpose_in(const uint8_t* const* rows, int64_t length, uint8_t* strip) {
  for (int32_t group = 0; group < kStripRows; group += 16) {
    int64_t i = 0;
    for (; i + 16 <= length; i += 16) {
      Bytes tile[16];
      for (int32_t r = 0; r < 16; ++r) __builtin_memcpy(&tile[r], rows[group + r] + i, 16);
      transpose_tile(tile);
      for (int32_t r = 0; r < 16; ++r) __builtin_memcpy(strip + (i + r) * kStripRows + group, &tile[r], 16);
    }
    for (; i < length; ++i) {
      for (int32_t r = 0; r < 16; ++r) strip[i * kStripRows + group + r] = rows[group + r][i];
    }
  }
}

// [length][kStripRows] to [kStripRows][length].
static void transpose_out(const uint8_t* columns, int64_t length, uint8_t* const* rows) {
  for (int32_t group = 0; group < kStripRows; group += 16) {
    int64_t i = 0;
    for (; i + 16 <= length; i += 16) {
      Bytes tile[16];
      for (int32_t r = 0; r < 16; ++r) __builtin_memcpy(&tile[r], columns + (i + r) * kStripRows + group, 16);
      transpose_tile(tile);
      for (int32_t r = 0; r < 16; ++r) __builtin_memcpy(rows[group + r] + i, &tile[r], 16);
    }
    for (; i < length; ++i) {
      for (int32_t r = 0; r < 16; ++r) rows[group + r][i] = columns[i * kStripRows + group + r];
    }
  }
}

static void resize_horizontal(const uint8_t* const* rows, int32_t width, int32_t channels, const ResizeAxis& axis,
                              uint8_t* strip, uint8_t* columns, uint8_t* const* out) {
  const int32_t colours = channels == 1 ? 1 : 3;
  transpose_in(rows, (int64_t)width * channels, strip);
  for (int32_t i = 0; i < axis.count; ++i) {
    const int32_t* weights = axis.weights + (int64_t)i * axis.capacity;
    for (int32_t c = 0; c < colours; ++c) {
      const uint8_t* p = strip + ((int64_t)axis.first[i] * channels + c) * kStripRows;
      int32_t sum[kStripRows];
      for (int32_t r = 0; r < kStripRows; ++r) sum[r] = 1 << 21;
      for (int32_t t = 0; t < axis.taps[i]; ++t, p += channels * kStripRows) {
        for (int32_t r = 0; r < kStripRows; ++r) sum[r] += weights[t] * p[r];
      }
      uint8_t* column = columns + ((int64_t)i * colours + c) * kStripRows;
      for (int32_t r = 0; r < kStripRows; ++r) column[r] = to_byte(sum[r]);
    }
  }
  transpose_out(columns, (int64_t)axis.count * colours, out);
}

static void resize_vertical(const uint8_t* rows, int64_t stride, const int32_t* weights, int32_t taps, int32_t width,
                            uint8_t* out) {
  constexpr int32_t kTogether = 32;
  int32_t i = 0;
  for (; i + kTogether <= width; i += kTogether) {
    int32_t sum[kTogether];
    for (int32_t l = 0; l < kTogether; ++l) sum[l] = 1 << 21;
    for (int32_t t = 0; t < taps; ++t) {
      const uint8_t* p = rows + t * stride + i;
      for (int32_t l = 0; l < kTogether; ++l) sum[l] += weights[t] * p[l];
    }
    for (int32_t l = 0; l < kTogether; ++l) out[i + l] = to_byte(sum[l]);
  }
  for (; i < width; ++i) {
    int32_t sum = 1 << 21;
    for (int32_t t = 0; t < taps; ++t) sum += weights[t] * rows[t * stride + i];
    out[i] = to_byte(sum);
  }
}
