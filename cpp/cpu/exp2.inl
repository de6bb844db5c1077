// The exponential of every kernel, for one number or for lanes.

static const float kLog2E = 1.44269504088896341f;

// 1.5 * 2^23: adding it rounds a number to an integer in the low bits.
static const float kToInteger = 12582912.0f;

// 2^v by a polynomial that is 2^f on [-1/2, 1/2]; NaN stays NaN.
template <typename V, typename Integers, V (*kPolynomial)(V)>
static inline V exp2_of(V v) {
  const V least = V{} - 126.0f;
  v = v < least ? least : v;
  const V shifted = v + kToInteger;
  const Integers whole = __builtin_bit_cast(Integers, shifted) - 0x4b400000;
  return kPolynomial(v - (shifted - kToInteger)) * __builtin_bit_cast(V, (whole + 127) << 23);
}

// Minimax, relative error 2e-9 before rounding.
template <typename V>
static inline V fine_polynomial(V f) {
  V p = V{} + 0x1.41d332p-13f;
  p = p * f + 0x1.5f456ap-10f;
  p = p * f + 0x1.3b2dbcp-7f;
  p = p * f + 0x1.c6aed4p-5f;
  p = p * f + 0x1.ebfbdap-3f;
  p = p * f + 0x1.62e430p-1f;
  return p * f + 1.0f;
}

// Minimax, relative error 8e-5: a twentieth of what rounding to bf16 adds.
static inline Lanes coarse_polynomial(Lanes f) {
  Lanes p = all_lanes(0x1.c3f760p-5f);
  p = p * f + 0x1.f0de1ap-3f;
  p = p * f + 0x1.62f31ap-1f;
  return p * f + 0x1.fff692p-1f;
}

// As exp2_of. AVX-512 rounds to an integer, and multiplies by its power of two, in an instruction each.
template <Lanes (*kPolynomial)(Lanes)>
static inline Lanes exp2_of_lanes(Lanes v) {
#if defined(__AVX512F__)
  v = larger(all_lanes(-126.0f), v);
  const Lanes whole = (Lanes)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return (Lanes)_mm512_scalef_ps((__m512)kPolynomial(v - whole), (__m512)whole);
#else
  return exp2_of<Lanes, WordLanes, kPolynomial>(v);
#endif
}

// 2^v for v <= about 0: below -126 it stays at 2^-126, far below what a sum with a term of 1/2 or more can see.
static inline float exp2_below(float v) { return exp2_of<float, int32_t, fine_polynomial<float>>(v); }
static inline Lanes exp2_below(Lanes v) { return exp2_of_lanes<fine_polynomial<Lanes>>(v); }
// For what is stored as bf16.
static inline Lanes coarse_exp2_below(Lanes v) { return exp2_of_lanes<coarse_polynomial>(v); }
