// The words of a block of images: of each image and piece the largest product, and the sum of e^{s (x - that)}.
// Shapes    x: [words, images], as the products come. The images are a vector's lanes: a piece may be of any length
//           and nothing is added across lanes.
// Cost      one exponential a word and image. Reading twice costs nothing: 16 images of a piece lie in L1.
// Numerics  as score.inl: (x - maximum) first, then times s log2(e). NaN in x makes the sum NaN.

static void sum_words(const float* x, int64_t images, int64_t rows, const int32_t* ends, int64_t pieces, float scale,
                      WordSum* sums, int64_t ld) {
  const float e = scale * kLog2E;
  for (int64_t first = 0; first < rows; first += kImageStep) {
    const int64_t lanes = rows - first < kImageStep ? rows - first : kImageStep;
    int32_t begin = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      float m[kImageStep], sum[kImageStep];
      for (int64_t i = 0; i < kImageStep; ++i) {
        m[i] = kNone;
        sum[i] = 0.0f;
      }
      for (int32_t j = begin; j < ends[piece]; ++j) {
        const float* from = x + j * images + first;
#pragma omp simd
        for (int64_t i = 0; i < kImageStep; ++i) m[i] = from[i] > m[i] ? from[i] : m[i];
      }
      for (int32_t j = begin; j < ends[piece]; ++j) {
        const float* from = x + j * images + first;
#pragma omp simd
        for (int64_t i = 0; i < kImageStep; ++i) sum[i] += exp2_below((from[i] - m[i]) * e);
      }
      for (int64_t i = 0; i < lanes; ++i) sums[(first + i) * ld + piece] = {m[i], sum[i]};
      begin = ends[piece];
    }
  }
}
