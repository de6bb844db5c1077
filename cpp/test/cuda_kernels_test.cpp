// The CUDA kernels' own sources, run on the CPU (cuda_on_cpu/), against spec 3 in double. What this cannot show: races,
// the real rounding of tensor cores and of ex2/rcp (modelled at their documented bounds), speed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/launch.h"
#include "cuda_on_cpu/cuda_bf16.h"
#include "cuda_on_cpu/cuda_runtime.h"
#include "score_reference.h"

extern "C" int clipn_cuda_score_features_plain(const clipn_cuda_features*, const clipn_cuda_scores*, void*);

namespace clipn {
namespace {

using FeaturesKernel = decltype(&clipn_cuda_score_features);

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // ten times slower: the shapes that differ, not the large ones
#else
constexpr bool kSanitized = false;
#endif

struct Path {
  const char* name;
  FeaturesKernel kernel;
  int32_t type;
};

constexpr Path kPaths[] = {
    {"TF32x3", clipn_cuda_score_features, CLIPN_CUDA_FP32},
    {"bf16", clipn_cuda_score_features, CLIPN_CUDA_BF16},
    {"FFMA fp32", clipn_cuda_score_features_plain, CLIPN_CUDA_FP32},
    {"FFMA bf16", clipn_cuda_score_features_plain, CLIPN_CUDA_BF16},
};

// "Device" buffers: every byte a NaN before use.
template <typename T>
std::vector<T> poisoned(size_t count) {
  std::vector<T> buffer(count);
  if (count > 0) std::memset(static_cast<void*>(buffer.data()), 0xff, count * sizeof(T));
  return buffer;
}

struct Results {
  int64_t n, k;
  Floats scores, top_p, top_p_yes;
  std::vector<int32_t> top_index;
  std::vector<char> workspace;

  Results(int64_t n, int64_t k, int64_t workspace_bytes)
      : n(n),
        k(k),
        scores(poisoned<float>(9 * n)),
        top_p(poisoned<float>(n * k)),
        top_p_yes(poisoned<float>(n * k)),
        top_index(poisoned<int32_t>(n * k)),
        workspace(poisoned<char>(workspace_bytes)) {}

  clipn_cuda_scores output() {
    return {scores.data(),    top_index.data(), top_p.data(),
            top_p_yes.data(), workspace.data(), static_cast<int64_t>(workspace.size())};
  }

  Scores unpacked() const {
    Scores s;
    const std::vector<Floats*> rows = s.rows();
    for (size_t i = 0; i < rows.size(); ++i) rows[i]->assign(scores.begin() + i * n, scores.begin() + (i + 1) * n);
    s.top_p = top_p;
    s.top_p_yes = top_p_yes;
    s.top_index = top_index;
    return s;
  }

  // Every number of one image.
  std::vector<float> row(int64_t image) const {
    std::vector<float> values;
    for (int i = 0; i < 9; ++i) values.push_back(scores[i * n + image]);
    for (int64_t i = image * k; i < (image + 1) * k; ++i) {
      values.insert(values.end(), {top_p[i], top_p_yes[i], static_cast<float>(top_index[i])});
    }
    return values;
  }
};

// [rows, d] in the type of `path`, padded with zeros to rows of whole 128 bytes.
std::vector<char> padded(const Path& path, const Floats& values, int64_t d, int64_t* padded_d) {
  const int64_t step = path.type == CLIPN_CUDA_BF16 ? 64 : 32;
  *padded_d = (d + step - 1) / step * step;
  const int64_t rows = static_cast<int64_t>(values.size()) / d;
  std::vector<char> bytes(rows * *padded_d * (128 / step), 0);
  for (int64_t i = 0; i < rows * d; ++i) {
    const int64_t at = i / d * *padded_d + i % d;
    if (path.type == CLIPN_CUDA_BF16) {
      const __nv_bfloat16 value(values[i]);
      std::memcpy(&bytes[at * 2], &value, 2);
    } else {
      std::memcpy(&bytes[at * 4], &values[i], 4);
    }
  }
  return bytes;
}

Results run_features(const Path& path, const Problem& problem, int64_t workspace_bytes = 0) {
  int64_t d;
  const auto features = padded(path, problem.features, problem.d, &d);
  const auto yes = padded(path, problem.yes, problem.d, &d);
  const auto no = padded(path, problem.no, problem.d, &d);
  const int64_t whole = clipn_cuda_features_workspace(problem.n, problem.c, static_cast<int32_t>(problem.k));
  Results results(problem.n, problem.k, workspace_bytes > 0 ? workspace_bytes : whole);
  const clipn_cuda_features input = {features.data(),
                                     yes.data(),
                                     problem.no.empty() ? nullptr : no.data(),
                                     problem.n,
                                     problem.c,
                                     d,
                                     path.type,
                                     static_cast<int32_t>(problem.k),
                                     problem.scale};
  const clipn_cuda_scores output = results.output();
  EXPECT_EQ(path.kernel(&input, &output, nullptr), 0);
  return results;
}

struct Logits {
  Floats yes, no;  // [n, c]; no may be empty
  int64_t n, c, k;
  float scale = 100.0f;

  Results run(bool misaligned = false) const {
    Results results(n, k, clipn_cuda_logits_workspace(n, c, static_cast<int32_t>(k)));
    Floats a(yes.size() + 4), b(no.size() + 4);
    const auto at = [&](Floats& buffer, const Floats& from) {
      float* to = buffer.data();
      while ((reinterpret_cast<uintptr_t>(to) % 16 == 0) == misaligned) ++to;
      std::copy(from.begin(), from.end(), to);
      return to;
    };
    const clipn_cuda_logits input = {at(a, yes), no.empty() ? nullptr : at(b, no), n,
                                     c,          static_cast<int32_t>(k),          scale};
    const clipn_cuda_scores output = results.output();
    EXPECT_EQ(clipn_cuda_score_logits(&input, &output, nullptr), 0);
    return results;
  }

  Reference reference(int64_t row) const {
    const auto slice = [&](const Floats& from) {
      return Doubles(from.begin() + row * c, from.begin() + (row + 1) * c);
    };
    return Reference::of_logits(slice(yes), slice(no), scale);
  }
};

// Largest norm-wise relative error of a score over the rows, and which score that is.
struct Worst {
  double error = 0;
  std::string score = "none";

  void take(const Results& results, const std::vector<Reference>& references) {
    using Of = double Reference::*;
    constexpr std::pair<const char*, Of> kNames[] = {
        {"ctw", &Reference::ctw},          {"atd", &Reference::atd},
        {"msp", &Reference::msp},          {"maxLogit", &Reference::max_logit},
        {"energy", &Reference::energy},    {"mcm", &Reference::mcm},
        {"gap", &Reference::gap},          {"logPOut", &Reference::log_p_out},
        {"logQMax", &Reference::log_q_max}};
    for (int i = 0; i < 9; ++i) {
      double difference = 0, size = 0;
      for (size_t row = 0; row < references.size(); ++row) {
        const double expected = references[row].*kNames[i].second;
        const double value = results.scores[i * results.n + static_cast<int64_t>(row)];
        difference += (value - expected) * (value - expected);
        size += expected * expected;
      }
      // 1e-36: an ATD of less is no fp32 number.
      const double relative = std::sqrt(difference) / (std::sqrt(size) + 1e-36);
      if (!(relative <= error)) {
        error = relative;
        score = kNames[i].first;
      }
    }
    for (size_t row = 0; row < references.size(); ++row) {
      EXPECT_EQ(results.k == 0 ? references[row].order[0] : results.top_index[row * results.k],
                references[row].order[0]);
    }
  }
};

std::vector<Reference> references(const Problem& problem) {
  std::vector<Reference> all;
  for (int64_t row = 0; row < problem.n; ++row) all.push_back(Reference::of(problem, row));
  return all;
}

Problem rounded_to_bf16(Problem problem) {
  for (Floats* values : {&problem.features, &problem.yes, &problem.no}) {
    for (float& value : *values) value = static_cast<float>(__nv_bfloat16(value));
  }
  return problem;
}

Logits random_logits(int64_t n, int64_t c, int64_t k, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> cosine(-1.0f, 1.0f);
  Logits logits{Floats(n * c), Floats(n * c), n, c, k};
  for (Floats* values : {&logits.yes, &logits.no}) {
    for (float& value : *values) value = 100.0f * cosine(random);
  }
  return logits;
}

class CudaKernels : public testing::Test {
 protected:
  void SetUp() override { cuda_on_cpu::device() = {}; }
};

TEST_F(CudaKernels, MatchDoubleOnRaggedSizes) {
  for (const Path& path : kPaths) {
    for (const int processors : {1, 1000}) {  // blocks of 64 rows; of 16
      cuda_on_cpu::device().processors = processors;
      for (const auto& [n, c, d, k] : std::vector<std::array<int64_t, 4>>{
               {1, 1, 1, 1}, {17, 7, 40, 7}, {64, 64, 64, 16}, {65, 65, 100, 5}, {3, 130, 32, 0}, {2, 2049, 32, 5}}) {
        if (kSanitized && c > 130) continue;
        SCOPED_TRACE(testing::Message() << path.name << " n " << n << " c " << c << " d " << d << " k " << k);
        Problem problem = unit_problem(n, c, d, k, static_cast<uint32_t>(n + c));
        if (path.type == CLIPN_CUDA_BF16) problem = rounded_to_bf16(problem);
        expect_reference(problem, run_features(path, problem).unpacked(), 5e-5);
      }
    }
  }
}

TEST_F(CudaKernels, LogitsMatchDoubleOnRaggedSizes) {
  for (const auto& [n, c, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                   {9, 7, 7},
                                                                   {8, 1000, 5},
                                                                   {17, 1023, 0},
                                                                   {2, 1024, 16},
                                                                   {2, 1025, 5},
                                                                   {3, 2052, 16},
                                                                   {1, 16385, 5},
                                                                   {1, 40001, 3}}) {
    SCOPED_TRACE(testing::Message() << "n " << n << " c " << c << " k " << k);
    const Logits logits = random_logits(n, c, k, static_cast<uint32_t>(c));
    const Results results = logits.run();
    const Scores s = results.unpacked();
    for (int64_t row = 0; row < n; ++row) {
      const Reference r = logits.reference(row);
      expect_relative(s.atd[row], r.atd, 4e-6, "atd");
      expect_relative(s.ctw[row], r.ctw, 4e-6, "ctw");
      expect_relative(s.msp[row], r.msp, 4e-6, "msp");
      expect_relative(s.mcm[row], r.mcm, 4e-6, "mcm");
      expect_close(s.max_logit[row], r.max_logit, 4e-6, "max_logit");
      expect_close(s.energy[row], r.energy, 4e-6, "energy");
      expect_close(s.gap[row], r.gap, 4e-6, "gap");
      expect_close(s.log_p_out[row], r.log_p_out, 4e-6, "log_p_out");
      expect_close(s.log_q_max[row], r.log_q_max, 4e-6, "log_q_max");
      for (int64_t i = 0; i < k; ++i) {
        EXPECT_EQ(s.top_index[row * k + i], r.order[i]);
        expect_relative(s.top_p[row * k + i], r.p[r.order[i]], 4e-6, "top_p");
        expect_relative(s.top_p_yes[row * k + i], r.p_yes[r.order[i]], 4e-6, "top_p_yes");
      }
    }
    EXPECT_EQ(logits.run(true).scores, results.scores) << "rows off 16 bytes";
  }
}

// The error is a row's own, so few rows of many classes show it; blocks of 16 rows have the same bits as those of 64.
TEST_F(CudaKernels, PrintTheLargestErrorAgainstDouble) {
  cuda_on_cpu::device().processors = 1000000;
  std::printf("largest norm-wise relative error of any score, and which\n");
  for (const auto& [n, c] : std::vector<std::pair<int64_t, int64_t>>{{16, 1}, {16, 7}, {16, 1000}, {1, 100000}}) {
    if (kSanitized && c > 7) continue;
    std::printf("C = %-7ld", static_cast<long>(c));
    const auto print = [](const char* name, const Worst& worst, double bound) {
      std::printf("  %s %.1e (%s)", name, worst.error, worst.score.c_str());
      EXPECT_LE(worst.error, bound) << name << ": " << worst.score;
    };
    const auto logits = [&](const char* name, const Logits& from) {
      Worst worst;
      std::vector<Reference> all;
      for (int64_t row = 0; row < from.n; ++row) all.push_back(from.reference(row));
      worst.take(from.run(), all);
      print(name, worst, 4e-6);
    };
    Logits plain = random_logits(n, c, std::min<int64_t>(c, 5), 11);
    logits("logits", plain);
    Logits ties = plain;
    for (Floats* values : {&ties.yes, &ties.no}) {
      for (float& value : *values) value = std::round(value / 25.0f) * 25.0f;
    }
    logits("ties", ties);
    // a - b from 17 up to 135, either way by row.
    Logits gaps = plain;
    for (size_t i = 0; i < gaps.yes.size(); ++i) {
      const float gap = 17.0f + 0.59f * (100.0f + gaps.no[i]);
      gaps.no[i] = (static_cast<int64_t>(i) / c) % 2 == 0 ? gaps.yes[i] - gap : gaps.yes[i] + gap;
    }
    logits("gaps", gaps);

    const int64_t d = c > 1000 || kSanitized ? 32 : 512;
    const Problem problem = unit_problem(n, c, d, 1, 12);
    for (const Path& path : kPaths) {
      const bool bf16 = path.type == CLIPN_CUDA_BF16;
      const Problem given = bf16 ? rounded_to_bf16(problem) : problem;
      Worst worst;
      const Results results = run_features(path, given);
      worst.take(results, references(given));
      print(path.name, worst, bf16 ? 2e-3 : 1e-5);
    }
    std::printf("\n");
  }
}

TEST_F(CudaKernels, ARowsBitsDependNeitherOnItsBatchNorOnItsPlace) {
  for (const Path& path : kPaths) {
    if (kSanitized && path.type == CLIPN_CUDA_FP32) continue;
    SCOPED_TRACE(path.name);
    const Problem all = unit_problem(130, 150, 64, 4, 9);
    cuda_on_cpu::device().processors = 1;
    const Results whole = run_features(path, all);
    for (const auto& [first, n, processors] :
         std::vector<std::array<int64_t, 3>>{{0, 130, 1000}, {5, 1, 1}, {127, 3, 1000}, {3, 65, 1}}) {
      cuda_on_cpu::device().processors = static_cast<int>(processors);
      Problem part = all;
      part.n = n;
      part.features.assign(all.features.begin() + first * 64, all.features.begin() + (first + n) * 64);
      const Results results = run_features(path, part);
      for (int64_t row = 0; row < n; ++row) EXPECT_EQ(results.row(row), whole.row(first + row));
    }
    const int64_t each = clipn_cuda_features_workspace(1, 150, 4);
    EXPECT_EQ(run_features(path, all, 64 * each).scores, whole.scores) << "in rounds of 64";
    cuda_on_cpu::device().shared_bytes = 64 * 1024;
    EXPECT_EQ(run_features(path, all).scores, whole.scores) << "with two stages";
  }
}

TEST_F(CudaKernels, EqualClassesKeepTheirOrderInTheTopList) {
  for (const Path& path : kPaths) {
    Problem problem = exact_problem(1, 3000, 5, 5);
    problem = rounded_to_bf16(problem);
    for (const int64_t j : {2999, 700, 12, 13, 900}) problem.yes[j] = 1.5f;
    problem.no[12] = 1.25f;
    const Results results = run_features(path, problem);
    EXPECT_EQ(results.top_index, (std::vector<int32_t>{12, 13, 700, 900, 2999})) << path.name;
    EXPECT_EQ(results.unpacked().gap[0], 25.0f) << "of the first of the equal classes";
  }
  Logits logits = random_logits(1, 3000, 5, 5);
  for (const int64_t j : {2999, 700, 12, 13, 900}) logits.yes[j] = 150.0f;
  EXPECT_EQ(logits.run().top_index, (std::vector<int32_t>{12, 13, 700, 900, 2999}));
}

TEST_F(CudaKernels, ANanSpoilsItsImageOnly) {
  for (const Path& path : kPaths) {
    SCOPED_TRACE(path.name);
    Problem problem = unit_problem(5, 100, 16, 3, 2);
    const Results clean = run_features(path, problem);
    problem.features[2 * 16 + 7] = std::numeric_limits<float>::quiet_NaN();
    const Results results = run_features(path, problem);
    for (int i = 0; i < 9; ++i) EXPECT_TRUE(std::isnan(results.scores[i * 5 + 2]));
    for (int32_t i = 0; i < 3; ++i) {
      EXPECT_EQ(results.top_index[6 + i], i);
      EXPECT_TRUE(std::isnan(results.top_p[6 + i]) && std::isnan(results.top_p_yes[6 + i]));
    }
    for (const int64_t row : {0, 1, 3, 4}) EXPECT_EQ(results.row(row), clean.row(row));

    for (const bool in_no : {false, true}) {
      Problem spoilt = unit_problem(2, 200, 16, 3, 2);
      (in_no ? spoilt.no : spoilt.yes)[177 * 16] = std::numeric_limits<float>::quiet_NaN();
      for (const float score : run_features(path, spoilt).scores) EXPECT_TRUE(std::isnan(score));
    }
  }
}

TEST_F(CudaKernels, WithoutANoBankTheYesScoresStandAndTheOthersAreNan) {
  for (const Path& path : kPaths) {
    SCOPED_TRACE(path.name);
    Problem problem = unit_problem(3, 200, 32, 4, 4);
    const Results both = run_features(path, problem);
    problem.no.clear();
    const Results plain = run_features(path, problem);
    for (int64_t row = 0; row < 3; ++row) {
      for (const int i : {0, 1, 6, 7, 8}) EXPECT_TRUE(std::isnan(plain.scores[i * 3 + row]));
      for (const int i : {2, 3, 4, 5}) expect_close(plain.scores[i * 3 + row], both.scores[i * 3 + row], 2e-6, "yes");
    }
    EXPECT_EQ(plain.top_index, both.top_index);
    for (const float p : plain.top_p_yes) EXPECT_TRUE(std::isnan(p));
  }
}

TEST_F(CudaKernels, MaskedLogitsAreAbsent) {
  const float inf = std::numeric_limits<float>::infinity();
  Logits logits = random_logits(2, 1500, 4, 3);
  Logits masked = logits;
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t j = 1000; j < 1500; ++j) {
      masked.yes[row * 1500 + j] = -inf;
      if (j % 2 == 0) masked.no[row * 1500 + j] = -inf;
    }
  }
  const Results results = masked.run();
  for (int64_t row = 0; row < 2; ++row) {
    const auto slice = [&](const Floats& from) {
      return Doubles(from.begin() + row * 1500, from.begin() + row * 1500 + 1000);
    };
    const Reference r = Reference::of_logits(slice(logits.yes), slice(logits.no), 100.0);
    const Scores s = results.unpacked();
    expect_relative(s.atd[row], r.atd, 4e-6, "atd");
    expect_relative(s.msp[row], r.msp, 4e-6, "msp");
    expect_relative(s.mcm[row], r.mcm, 4e-6, "mcm");
    EXPECT_EQ(s.top_index[row * 4], r.order[0]);
  }
}

TEST_F(CudaKernels, RefuseWhatTheyCannotDo) {
  const Problem problem = unit_problem(70, 4, 32, 2, 6);
  Results results(70, 2, clipn_cuda_features_workspace(70, 4, 2));
  const clipn_cuda_features good = {
      problem.features.data(), problem.yes.data(), problem.no.data(), 70, 4, 32, CLIPN_CUDA_FP32, 2, 100.0f};
  const auto status = [&](auto spoil) {
    clipn_cuda_features input = good;
    clipn_cuda_scores output = results.output();
    spoil(input, output);
    return clipn_cuda_score_features(&input, &output, nullptr);
  };
  EXPECT_EQ(status([](auto&, auto&) {}), 0);
  EXPECT_EQ(status([](auto& in, auto&) { in.n = 0; }), 0);
  EXPECT_NE(status([](auto& in, auto&) { in.d = 31; }), 0) << "rows off 128 bytes";
  EXPECT_NE(status([](auto& in, auto&) { in.k = 5; }), 0) << "more than classes";
  EXPECT_NE(status([](auto& in, auto&) { in.k = -1; }), 0);
  EXPECT_NE(status([](auto& in, auto&) { in.c = 0; }), 0);
  EXPECT_NE(status([](auto& in, auto&) { in.scale = 0; }), 0);
  EXPECT_NE(status([](auto&, auto& out) { out.workspace_bytes = 100; }), 0);
}

TEST_F(CudaKernels, NormaliseIsTorchvisionsInEveryType) {
  constexpr int64_t kN = 3, kSide = 9, kPlane = kSide * kSide;
  std::mt19937 random(1);
  std::vector<uint8_t> pixels(kN * kPlane * 3);
  for (uint8_t& byte : pixels) byte = static_cast<uint8_t>(random());
  const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f}, std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
  auto fp32 = poisoned<float>(pixels.size());
  auto bf16 = poisoned<__nv_bfloat16>(pixels.size());
  auto fp16 = poisoned<_Float16>(pixels.size());
  EXPECT_EQ(clipn_cuda_normalise(pixels.data(), kN, kSide, mean, std, CLIPN_CUDA_FP32, fp32.data(), nullptr), 0);
  EXPECT_EQ(clipn_cuda_normalise(pixels.data(), kN, kSide, mean, std, CLIPN_CUDA_BF16, bf16.data(), nullptr), 0);
  EXPECT_EQ(clipn_cuda_normalise(pixels.data(), kN, kSide, mean, std, CLIPN_CUDA_FP16, fp16.data(), nullptr), 0);
  for (int64_t image = 0; image < kN; ++image) {
    for (int64_t p = 0; p < kPlane; ++p) {
      for (int64_t c = 0; c < 3; ++c) {
        const float value = pixels[(image * kPlane + p) * 3 + c] / 255.0f;
        const float expected = (value - mean[c]) / std[c];
        const int64_t at = (image * 3 + c) * kPlane + p;
        ASSERT_EQ(fp32[at], expected);
        ASSERT_EQ(static_cast<float>(bf16[at]), static_cast<float>(__nv_bfloat16(expected)));
        ASSERT_EQ(fp16[at], static_cast<_Float16>(expected));
      }
    }
  }
}

}  // namespace
}  // namespace clipn
