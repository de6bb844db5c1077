// The words of one image: of each piece its largest product and its sum of exponentials relative to that.
// Cost      one exponential a word. Reading twice costs nothing: a piece lies in L1.
// Numerics  as score.inl: (x - maximum) first, then times s log2(e). NaN in x makes the sum NaN.

static void sum_words(const float* x, const int32_t* ends, int64_t pieces, float scale, WordSum* sums) {
  const float e = scale * kLog2E;
  int32_t begin = 0;
  for (int64_t i = 0; i < pieces; ++i) {
    const int32_t end = ends[i];
    float m = kNone, sum = 0.0f;
#pragma omp simd reduction(max : m)
    for (int32_t j = begin; j < end; ++j) m = x[j] > m ? x[j] : m;
#pragma omp simd reduction(+ : sum)
    for (int32_t j = begin; j < end; ++j) sum += exp2_below((x[j] - m) * e);
    sums[i] = {m, sum};
    begin = end;
  }
}
