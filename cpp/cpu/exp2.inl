// The exponential of every kernel.

static const float kLog2E = 1.44269504088896341f;

// 2^v for v <= about 0: below -126 it stays at 2^-126, far below what a sum with a term of 1/2 or more can see.
static inline float exp2_below(float v) {
  v = v < -126.0f ? -126.0f : v;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds v to an integer in the low bits
  const float shifted = v + magic;
  const int32_t whole = __builtin_bit_cast(int32_t, shifted) - 0x4b400000;
  const float f = v - (shifted - magic);
  // Minimax polynomial of 2^f on [-1/2, 1/2], relative error 2e-9 before rounding.
  float p = 0x1.41d332p-13f;
  p = p * f + 0x1.5f456ap-10f;
  p = p * f + 0x1.3b2dbcp-7f;
  p = p * f + 0x1.c6aed4p-5f;
  p = p * f + 0x1.ebfbdap-3f;
  p = p * f + 0x1.62e430p-1f;
  p = p * f + 1.0f;
  return p * __builtin_bit_cast(float, (int32_t)((uint32_t)(whole + 127) << 23));
}
