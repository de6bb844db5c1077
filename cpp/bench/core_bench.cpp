// Microbenchmarks of the C ABI, without Node: the resize, the score pass, a lane's round trip; and the bare products of
// the score pass, which it cannot be faster than. Wall time, for the score pass has threads of its own
// (OMP_NUM_THREADS). Google Benchmark: it can let its benchmarks take turns.
//   npm run bench -- native        CLIPN_CPU=avx2 for other kernels
#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <semaphore>
#include <vector>

#include "clipn/core.h"
#include "score/products.h"
#include "tower/gemm.h"
#include "tower/tasks.h"

namespace {

constexpr int64_t kWidth = 512;  // D of ViT-B/16
constexpr int64_t kTop = 5;

void require(benchmark::State& state, clipn_status status, const clipn_error& error) {
  if (status != CLIPN_OK) state.SkipWithError(error.text);
}

std::vector<float> unit_rows(int64_t n, int64_t d, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(static_cast<size_t>(n * d));
  for (int64_t i = 0; i < n; ++i) {
    float* row = rows.data() + i * d;
    double squares = 0;
    for (int64_t j = 0; j < d; ++j) {
      row[j] = normal(random);
      squares += static_cast<double>(row[j]) * row[j];
    }
    for (int64_t j = 0; j < d; ++j) row[j] /= static_cast<float>(std::sqrt(squares));
  }
  return rows;
}

void preprocess(benchmark::State& state) {
  const auto width = static_cast<uint32_t>(state.range(0)), height = static_cast<uint32_t>(state.range(1));
  std::mt19937 random(0);
  std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * 3);
  for (auto& pixel : pixels) pixel = static_cast<uint8_t>(random());
  std::vector<uint8_t> out(size_t{224} * 224 * 3);
  const clipn_image image{pixels.data(), width, height, 3, uint64_t{width} * 3};
  clipn_error error{};
  for (auto _ : state) require(state, clipn_preprocess(&image, 224, out.data(), &error), error);
}

void score(benchmark::State& state) {
  const int64_t n = state.range(0), c = state.range(1), w = state.range(2);
  const auto features = unit_rows(n, kWidth, 0), yes = unit_rows(c, kWidth, 1), no = unit_rows(c, kWidth, 2);
  const auto words = unit_rows(w, kWidth, 3);
  std::vector<int64_t> group_ends;
  for (int64_t end = 100; end <= w; end += 100) group_ends.push_back(end);
  std::vector<float> per_image(static_cast<size_t>(12 * n)), top(static_cast<size_t>(2 * n * kTop));
  std::vector<int32_t> index(static_cast<size_t>(n * kTop)), word(static_cast<size_t>(n));
  const auto part = [&](int64_t i) { return per_image.data() + i * n; };
  const clipn_score_input input{sizeof(clipn_score_input),
                                100,
                                features.data(),
                                yes.data(),
                                no.data(),
                                n,
                                c,
                                kWidth,
                                std::min(kTop, c),
                                CLIPN_CPU,
                                0,
                                w == 0 ? nullptr : words.data(),
                                w,
                                w == 0 ? nullptr : group_ends.data(),
                                static_cast<int64_t>(group_ends.size())};
  const clipn_score_output output{sizeof(clipn_score_output),
                                  part(0),
                                  part(1),
                                  part(2),
                                  part(3),
                                  part(4),
                                  part(5),
                                  part(6),
                                  part(7),
                                  part(8),
                                  index.data(),
                                  top.data(),
                                  top.data() + n * kTop,
                                  nullptr,
                                  nullptr,
                                  part(9),
                                  part(10),
                                  part(11),
                                  word.data()};
  clipn_error error{};
  for (auto _ : state) require(state, clipn_score(&input, &output, &error), error);
}

// The products of the score pass and nothing else: tiles of its size by its kernel, each thread's into the same place.
// The images are transposed beforehand.
void products(benchmark::State& state) {
  const int64_t n = state.range(0), rows = state.range(1);
  const auto features = unit_rows(n, kWidth, 0), bank = unit_rows(rows, kWidth, 1);
  const int64_t images = std::min(clipn::kTileImages, (n + 15) / 16 * 16);
  const int64_t row_blocks = (n + images - 1) / images, blocks = (rows + clipn::kTileClasses - 1) / clipn::kTileClasses;
  if (!clipn::can_multiply<float>()) return state.SkipWithError("libtorch has no brgemm here");
  std::vector<float> transposed(static_cast<size_t>(row_blocks * images * kWidth));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < kWidth; ++j) {
      transposed[(i / images * kWidth + j) * images + i % images] = features[i * kWidth + j];
    }
  }
  std::vector<std::vector<float>> tiles(at::get_num_threads());
  for (auto& tile : tiles) tile.resize(static_cast<size_t>(clipn::kTileClasses * images));
  for (auto _ : state) {
    clipn::for_each_task(row_blocks * blocks, [&](int64_t task, int64_t thread) {
      const int64_t first = task % blocks * clipn::kTileClasses, count = std::min(clipn::kTileClasses, rows - first);
      clipn::multiply(bank.data() + first * kWidth, kWidth, &transposed[task / blocks * images * kWidth], images, count,
                      images, kWidth, tiles[thread].data(), images);
    });
    benchmark::ClobberMemory();
  }
}

// The same as one product by libtorch's BLAS.
void blas_product(benchmark::State& state) {
  const c10::InferenceMode inference;
  const int64_t n = state.range(0), rows = state.range(1);
  auto features = unit_rows(n, kWidth, 0), bank = unit_rows(rows, kWidth, 1);
  std::vector<float> out(static_cast<size_t>(n * rows));
  auto product = at::from_blob(out.data(), {n, rows}, at::kFloat);
  const auto left = at::from_blob(features.data(), {n, kWidth}, at::kFloat);
  const auto right = at::from_blob(bank.data(), {rows, kWidth}, at::kFloat).t();
  for (auto _ : state) at::mm_out(product, left, right);
}

void lane_round_trip(benchmark::State& state) {
  const clipn_lane_options options{sizeof(clipn_lane_options), 1};
  clipn_lane* lane = nullptr;
  clipn_error error{};
  require(state, clipn_lane_create(&options, &lane, &error), error);
  if (lane == nullptr) return;
  std::binary_semaphore done{0};
  for (auto _ : state) {
    clipn_lane_post(
        lane, [](void* context) { static_cast<std::binary_semaphore*>(context)->release(); }, &done, nullptr);
    done.acquire();
  }
  clipn_lane_destroy(lane, nullptr);
}

BENCHMARK(preprocess)
    ->ArgNames({"width", "height"})
    ->Args({500, 375})
    ->Args({1920, 1080})
    ->Args({4000, 3000})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK(score)
    ->ArgNames({"N", "C", "W"})
    ->Args({1, 1, 0})
    ->Args({1, 1000, 0})
    ->Args({8, 1000, 0})
    ->Args({64, 1000, 0})
    ->Args({1024, 1000, 0})
    ->Args({64, 21841, 0})
    ->Args({1, 1000, 10000})
    ->Args({64, 1000, 10000})
    ->Args({1024, 1000, 10000})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
// 12,000 rows: yes and no of 1000 classes, and 10,000 words.
BENCHMARK(products)
    ->ArgNames({"N", "rows"})
    ->Args({1, 12000})
    ->Args({64, 12000})
    ->Args({1024, 12000})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK(blas_product)
    ->ArgNames({"N", "rows"})
    ->Args({1, 12000})
    ->Args({64, 12000})
    ->Args({1024, 12000})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK(lane_round_trip)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
