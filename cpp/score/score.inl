// All scores of one image over a block of classes, in one pass over its cosines (spec 3).
// What      x = <f, g_j>, y = <f, h_j>, z = s (x - y), t = e^{-|z|}, r = 1 / (1 + t):
//           e^a sigma(z) = e^{s (x + min(x - y, 0))} r and e^a sigma(-z) = e^{s min(x, y)} r, so "in" and "out" are
//           sums of positive terms and no difference of close numbers is ever exponentiated or subtracted.
// Shapes    x, y: [count], contiguous; one ScoreState per image.
// Cost      four exponentials and a division per class, and bound by them: about a tenth of the dot products (D = 512).
// Numerics  fp32, each sum relative to its own maximum (ScoreState); the exponent is (x - maximum) first and times
//           s log2(e) second, since rounding at the size of a logit (100) would be an error of 1e-5 in every term.
//           exp2 (cpu/exp2.inl) is good to 2^-23. NaN in x or y makes `in` NaN and so every score of that image.
// Threads   none; writes only to its arguments.

#define CLIPN_MAX(a, b) ((a) > (b) ? (a) : (b))
#define CLIPN_MIN(a, b) ((a) < (b) ? (a) : (b))

static const float kNone = -__builtin_inff();

// e^{scale (from - to)}: what a sum relative to `from` is worth relative to `to`; 1 for equal ones, so that an empty
// sum at -infinity stays a number.
static inline float rebase(float from, float to, float scale) {
  return from == to ? 1.0f : exp2_below((from - to) * (scale * kLog2E));
}

// The largest x of each chunk to chunk_max, and of all; then the first position where it stands.
static float first_maximum(const float* x, int64_t count, float* chunk_max, int64_t* position) {
  float best = kNone;
  int64_t best_chunk = -1;
  for (int64_t chunk = 0; chunk * kChunkClasses < count; ++chunk) {
    const float* from = x + chunk * kChunkClasses;
    const int64_t length = CLIPN_MIN(kChunkClasses, count - chunk * kChunkClasses);
    float largest = kNone;
#pragma omp simd reduction(max : largest)
    for (int64_t j = 0; j < length; ++j) largest = CLIPN_MAX(from[j], largest);
    chunk_max[chunk] = largest;
    if (largest > best) {
      best = largest;
      best_chunk = chunk;
    }
  }
  *position = 0;
  if (best_chunk >= 0) {
    int64_t j = best_chunk * kChunkClasses;
    while (x[j] != best) ++j;
    *position = j;
  }
  return best;
}

static void score_block(const float* x, const float* y, int64_t count, float scale, ScoreState* state,
                        float* chunk_max) {
  int64_t position;
  const float block_m = first_maximum(x, count, chunk_max, &position);
  const float m = CLIPN_MAX(block_m, state->m);
  if (block_m > state->m && y != nullptr) state->gap = x[position] - y[position];

  const float e = scale * kLog2E;
  float in = 0.0f, in_max = 0.0f, out = 0.0f, mcm = 0.0f;
  float k = m, n = kNone;
  if (y == nullptr) {
#pragma omp simd reduction(+ : in, mcm) reduction(max : in_max)
    for (int64_t j = 0; j < count; ++j) {
      const float term = exp2_below((x[j] - m) * e);
      in += term;
      in_max = CLIPN_MAX(term, in_max);
      mcm += exp2_below((x[j] - m) * kLog2E);
    }
  } else {
    k = state->k;
    n = state->n;
#pragma omp simd reduction(max : k, n)
    for (int64_t j = 0; j < count; ++j) {
      const float d = x[j] - y[j];
      const float w = x[j] + CLIPN_MIN(d, 0.0f);
      const float lower = CLIPN_MIN(x[j], y[j]);
      k = CLIPN_MAX(w, k);
      n = CLIPN_MAX(lower, n);
    }
#pragma omp simd reduction(+ : in, out, mcm) reduction(max : in_max)
    for (int64_t j = 0; j < count; ++j) {
      const float d = x[j] - y[j];
      const float below = CLIPN_MIN(d, 0.0f);
      const float r = 1.0f / (1.0f + exp2_below(-__builtin_fabsf(d) * e));
      const float term = exp2_below(((x[j] - k) + below) * e) * r;
      in += term;
      in_max = CLIPN_MAX(term, in_max);
      out += exp2_below((CLIPN_MIN(x[j], y[j]) - n) * e) * r;
      mcm += exp2_below((x[j] - m) * kLog2E);
    }
  }

  const float rescale_in = rebase(state->k, k, scale);
  const float earlier_max = state->in_max * rescale_in;
  state->in = state->in * rescale_in + in;
  state->in_max = CLIPN_MAX(in_max, earlier_max);
  state->out = state->out * rebase(state->n, n, scale) + out;
  state->mcm = state->mcm * rebase(state->m, m, 1.0f) + mcm;
  state->m = m;
  state->k = k;
  state->n = n;
}

#undef CLIPN_MAX
#undef CLIPN_MIN
