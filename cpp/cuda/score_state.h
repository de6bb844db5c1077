// The recurrences of the score pass (spec 3), one source for the CUDA kernels and for the CPU test of them.
// What      x = <f, g_j>, y = <f, h_j>, z = s (x - y), w = x + min(x - y, 0), r = 1 / (1 + e^{-|z|}):
//           e^a sigma(z) = e^{s w} r and e^a sigma(-z) = e^{s min(x, y)} r with the spec's a = s x. Only positive terms
//           are added, each sum relative to its own maximum, so neither cancellation nor underflow can spoil one.
// Shapes    a RowState is what is known of one image after some of the classes; states of disjoint classes merge.
// Cost      per class four 2^v, a reciprocal, some 20 other fp32 operations.
// Numerics  fp32; the exponent is (x - maximum) first and times s log2(e) second: rounded at the size of a logit (100)
//           it would be off by 1e-5 in every term. Nothing is contracted by the compiler (fused() asks for it), so a
//           row's bits are those of this text. NaN in x or y makes `in` NaN, and with it every score of that image.
#ifndef CLIPN_CUDA_SCORE_STATE_H_
#define CLIPN_CUDA_SCORE_STATE_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define CLIPN_HD __host__ __device__ __forceinline__
#else
#define CLIPN_HD inline
#endif

namespace clipn::cuda {

// A class that is not there: x = kAbsent, y = 0. A bank without "no" side: y = kAbsent. Both vanish in every merge with
// a class that is there, and (unlike -infinity) never meet their like in a difference.
constexpr float kAbsent = -1e30f;
constexpr int32_t kNoIndex = 0x7fffffff;

// Exponents of 2 per unit of x: s log2(e) for the scores, log2(e) for MCM when x is a cosine; log2(e) and log2(e) / s
// when x is a logit.
struct Rates {
  float score, mcm;
};

struct RowState {
  float m;        // max x
  float k;        // max w
  float n;        // max min(x, y)
  float in;       // sum of e^{s (w - k)} r
  float in_max;   // largest term of `in`
  float out;      // sum of e^{s (min(x, y) - n)} r
  float mcm;      // sum of e^{x - m}
  float gap;      // x - y at the maximum of x
  int32_t index;  // class of that maximum, the lowest among equals
};

struct TopEntry {
  float x, y;
  int32_t index;
};

// Order of the top list.
CLIPN_HD bool better(const TopEntry& one, const TopEntry& other) {
  return one.x > other.x || (one.x == other.x && one.index < other.index);
}

CLIPN_HD RowState empty_state() { return {-INFINITY, -INFINITY, -INFINITY, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, kNoIndex}; }

// The larger; `kept` when `value` is NaN.
CLIPN_HD float larger(float value, float kept) {
#if defined(__CUDA_ARCH__)
  return fmaxf(value, kept);
#else
  return value > kept ? value : kept;
#endif
}

// The smaller; `kept` when `value` is NaN.
CLIPN_HD float smaller(float value, float kept) {
#if defined(__CUDA_ARCH__)
  return fminf(value, kept);
#else
  return value < kept ? value : kept;
#endif
}

CLIPN_HD float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return fmaf(a, b, c);
#endif
}

#if !defined(__CUDA_ARCH__)
// The device's approximations are good to `bound`, relative; here the worst of it, up or down as the bits of v fall.
inline float approximate(float exact, float v, float bound) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return exact * (1.0f + ((bits * 2654435761u) >> 31 ? bound : -bound));
}
#endif

// 2^v, relative error 2^-22 (PTX's bound); below 2^-126 it is 0.
CLIPN_HD float power_of_2(float v) {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(v));
  return power;
#else
  return v < -126.0f ? 0.0f : approximate(exp2f(v), v, 0x1p-22f);
#endif
}

// 1 / v for v in [1, 2], relative error 2^-23.
CLIPN_HD float reciprocal(float v) {
#if defined(__CUDA_ARCH__)
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(v));
  return inverse;
#else
  return approximate(1.0f / v, v, 0x1p-23f);
#endif
}

// What a sum relative to `from` is worth relative to `to`; 1 for equal ones, so that two empty states merge to one.
CLIPN_HD float rebase(float from, float to, float rate) { return from == to ? 1.0f : power_of_2((from - to) * rate); }

// Adds `count` classes, in rising order. Returns the position of the first maximum of x if it is a new one, else -1;
// the caller then sets `index`.
template <int count>
CLIPN_HD int add(RowState& state, const float (&x)[count], const float (&y)[count], Rates rates) {
  float m = state.m, k = state.k, n = state.n;
#pragma unroll
  for (int e = 0; e < count; ++e) {
    m = larger(x[e], m);
    k = larger(x[e] + smaller(x[e] - y[e], 0.0f), k);
    n = larger(smaller(y[e], x[e]), n);
  }
  int position = -1;
  if (m > state.m) {
#pragma unroll
    for (int e = count - 1; e >= 0; --e) {
      if (x[e] == m) {
        position = e;
        state.gap = x[e] - y[e];
      }
    }
  }
  float in = 0.0f, in_max = 0.0f, out = 0.0f, mcm = 0.0f;
#pragma unroll
  for (int e = 0; e < count; ++e) {
    const float d = x[e] - y[e];
    const float r = reciprocal(1.0f + power_of_2(-fabsf(d) * rates.score));
    const float term = power_of_2(((x[e] - k) + smaller(d, 0.0f)) * rates.score) * r;
    in += term;
    in_max = larger(term, in_max);
    out = fused(power_of_2((smaller(y[e], x[e]) - n) * rates.score), r, out);
    mcm += power_of_2((x[e] - m) * rates.mcm);
  }
  const float rescale_in = rebase(state.k, k, rates.score);
  state.in = fused(state.in, rescale_in, in);
  state.in_max = larger(state.in_max * rescale_in, in_max);
  state.out = fused(state.out, rebase(state.n, n, rates.score), out);
  state.mcm = fused(state.mcm, rebase(state.m, m, rates.mcm), mcm);
  state.m = m;
  state.k = k;
  state.n = n;
  return position;
}

// The state of both sets of classes.
CLIPN_HD RowState merge(const RowState& a, const RowState& b, Rates rates) {
  RowState to;
  to.m = larger(a.m, b.m);
  to.k = larger(a.k, b.k);
  to.n = larger(a.n, b.n);
  const float in_a = rebase(a.k, to.k, rates.score), in_b = rebase(b.k, to.k, rates.score);
  to.in = fused(a.in, in_a, b.in * in_b);
  to.in_max = larger(a.in_max * in_a, b.in_max * in_b);
  to.out = fused(a.out, rebase(a.n, to.n, rates.score), b.out * rebase(b.n, to.n, rates.score));
  to.mcm = fused(a.mcm, rebase(a.m, to.m, rates.mcm), b.mcm * rebase(b.m, to.m, rates.mcm));
  const bool first = a.m > b.m || (a.m == b.m && a.index < b.index);
  to.gap = first ? a.gap : b.gap;
  to.index = first ? a.index : b.index;
  return to;
}

// Places in the array of scores, in the order of clipn_score_output.
enum Score { kCtw, kAtd, kMsp, kMaxLogit, kEnergy, kMcm, kGap, kLogPOut, kLogQMax, kScores };

// What the top list needs of a finished row.
struct RowTotal {
  double m, l;  // l: sum of e^{s (x - m)}
  bool valid;   // no NaN
};

CLIPN_HD double sigmoid(double v) { return v >= 0 ? 1.0 / (1.0 + exp(-v)) : exp(v) / (1.0 + exp(v)); }

// Scores of a row whose state holds all classes; `s` per unit of x (1 when x is a logit). In double: a few operations
// per row, where fp32 at the size of a logit would cost 1e-5.
CLIPN_HD RowTotal finish(const RowState& state, double s, bool both, float (&scores)[kScores]) {
  const double m = state.m, k = state.k, n = state.n;
  const double l = state.in * exp(s * (k - m)) + (both ? state.out * exp(s * (n - m)) : 0.0);
  const bool valid = !isnan(l) && !isnan(state.mcm);
  const bool no = valid && both;
  const double odds = s * (k - n) + log((double)state.in) - log((double)state.out);  // of "in" against "out"
  const double log_p_out = (odds > 0 ? -odds : 0.0) - log1p(exp(-fabs(odds)));
  scores[kMsp] = valid ? (float)(1.0 / l) : NAN;
  scores[kMaxLogit] = valid ? (float)(s * m) : NAN;
  scores[kEnergy] = valid ? (float)(s * m + log(l)) : NAN;
  scores[kMcm] = valid ? 1.0f / state.mcm : NAN;
  scores[kCtw] = no ? (float)sigmoid(s * state.gap) : NAN;
  scores[kGap] = no ? (float)(s * state.gap) : NAN;
  scores[kAtd] = no ? (float)sigmoid(odds) : NAN;
  scores[kLogPOut] = no ? (float)log_p_out : NAN;
  scores[kLogQMax] = no ? (float)(s * (k - m) + log((double)state.in_max) - log(l)) : NAN;
  return {m, l, valid};
}

}  // namespace clipn::cuda

#endif  // CLIPN_CUDA_SCORE_STATE_H_
