// Problems, their outputs, and spec 3 in double to hold them against.
#ifndef CLIPN_TEST_SCORE_REFERENCE_H_
#define CLIPN_TEST_SCORE_REFERENCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "score/score.h"

namespace clipn {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

struct Problem {
  Floats features, yes, no;  // no empty: a plain CLIP
  int64_t n, c, d, k;
  float scale = 100.0f;
  Floats words;  // [w, d], by group
  std::vector<int64_t> group_ends;

  clipn_score_input input() const {
    clipn_score_input in = {
        sizeof(clipn_score_input), scale, features.data(), yes.data(), no.empty() ? nullptr : no.data(), n, c, d, k};
    if (!group_ends.empty()) {
      in.words = words.data();
      in.w = group_ends.back();
      in.group_ends = group_ends.data();
      in.groups = static_cast<int64_t>(group_ends.size());
    }
    return in;
  }
};

// Every output, each followed by one guard value that must survive.
struct Scores {
  static constexpr float kGuard = 12345.0f;
  Floats ctw, atd, msp, max_logit, energy, mcm, gap, log_p_out, log_q_max, top_p, top_p_yes, logits_yes, logits_no;
  Floats neg_label, ole, word_max;
  std::vector<int32_t> top_index, word_index;

  static Scores of(const cpu::Kernels& kernels, const Problem& problem) {
    Scores s;
    const size_t n = problem.n, top = n * problem.k, all = n * problem.c;
    for (auto list : {s.rows(), s.word_rows()}) {
      for (Floats* row : list) row->assign(n + 1, kGuard);
    }
    s.word_index.assign(n + 1, -7);
    for (Floats* list : {&s.top_p, &s.top_p_yes}) list->assign(top + 1, kGuard);
    for (Floats* logits : {&s.logits_yes, &s.logits_no}) logits->assign(all + 1, kGuard);
    s.top_index.assign(top + 1, -7);
    const clipn_score_output output = s.output();
    const clipn_score_input input = problem.input();
    score(kernels, input, output);
    for (const Floats* values : {&s.top_p, &s.top_p_yes, &s.logits_yes, &s.logits_no})
      EXPECT_EQ(values->back(), kGuard);
    for (auto list : {s.rows(), s.word_rows()}) {
      for (const Floats* values : list) EXPECT_EQ(values->back(), kGuard);
    }
    EXPECT_EQ(s.top_index.back(), -7);
    EXPECT_EQ(s.word_index.back(), -7);
    return s;
  }

  std::vector<Floats*> rows() { return {&ctw, &atd, &msp, &max_logit, &energy, &mcm, &gap, &log_p_out, &log_q_max}; }
  std::vector<Floats*> word_rows() { return {&neg_label, &ole, &word_max}; }

  clipn_score_output output() {
    return {sizeof(clipn_score_output),
            ctw.data(),
            atd.data(),
            msp.data(),
            max_logit.data(),
            energy.data(),
            mcm.data(),
            gap.data(),
            log_p_out.data(),
            log_q_max.data(),
            top_index.data(),
            top_p.data(),
            top_p_yes.data(),
            logits_yes.data(),
            logits_no.data(),
            neg_label.data(),
            ole.data(),
            word_max.data(),
            word_index.data()};
  }
};

inline Floats floats(const Doubles& values) { return Floats(values.begin(), values.end()); }

inline double log_sigmoid(double v) { return v < 0 ? v - std::log1p(std::exp(v)) : -std::log1p(std::exp(-v)); }

inline double log_sum_exp(const Doubles& values) {
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += std::exp(value - most);
  return most + std::log(sum);
}

// Spec 3 in double, straight from the formulas, on logits in double.
struct Reference {
  double ctw, atd, msp, max_logit, energy, mcm, gap, log_p_out, log_q_max;
  std::vector<int32_t> order;  // classes by falling a
  Doubles p, p_yes;
  double neg_label = 0, ole = 0, word_max = 0;
  int32_t word_index = -1;

  static Reference of(const Problem& problem, int64_t row) {
    const Doubles a = logits(problem, row, problem.yes), u = logits(problem, row, problem.words);
    Reference r = of_logits(a, logits(problem, row, problem.no), problem.scale);
    if (!u.empty()) r.add_words(a, u, problem.group_ends);
    return r;
  }

  static Doubles logits(const Problem& problem, int64_t row, const Floats& bank) {
    Doubles all;
    for (size_t at = 0; at < bank.size(); at += problem.d) {
      double x = 0;
      for (int64_t i = 0; i < problem.d; ++i) x += double{problem.features[row * problem.d + i]} * bank[at + i];
      all.push_back(problem.scale * x);
    }
    return all;
  }

  void add_words(const Doubles& a, const Doubles& u, const std::vector<int64_t>& group_ends) {
    auto from = u.begin();
    for (const int64_t end : group_ends) {
      const double log_words = log_sum_exp(Doubles(from, u.begin() + end));
      neg_label += std::exp(log_sigmoid(energy - log_words)) / static_cast<double>(group_ends.size());
      from = u.begin() + end;
    }
    Doubles every = a;
    every.insert(every.end(), u.begin(), u.end());
    const double total = log_sum_exp(every);
    for (size_t j = 0; j < a.size(); ++j) ole += std::exp(a[j] - total) * p_yes[j];
    const auto most = std::max_element(u.begin(), u.end());  // the first of equal ones
    word_max = *most;
    word_index = static_cast<int32_t>(most - u.begin());
  }

  static Reference of_logits(const Doubles& a, const Doubles& b, double scale) {
    const size_t c = a.size();
    Doubles cosine(c), log_in(c), log_out(c);
    for (size_t j = 0; j < c; ++j) cosine[j] = a[j] / scale;
    Reference r;
    r.energy = log_sum_exp(a);
    for (size_t j = 0; j < c; ++j) {
      log_in[j] = a[j] - r.energy + log_sigmoid(a[j] - b[j]);
      log_out[j] = a[j] - r.energy + log_sigmoid(b[j] - a[j]);
      r.p.push_back(std::exp(a[j] - r.energy));
      r.p_yes.push_back(std::exp(log_sigmoid(a[j] - b[j])));
    }
    r.order.resize(c);
    std::iota(r.order.begin(), r.order.end(), 0);
    std::stable_sort(r.order.begin(), r.order.end(), [&](int32_t i, int32_t j) { return a[i] > a[j]; });
    const int32_t top = r.order[0];
    r.ctw = r.p_yes[top];
    r.atd = std::exp(log_sum_exp(log_in));
    r.msp = r.p[top];
    r.max_logit = a[top];
    r.mcm = std::exp(cosine[top] - log_sum_exp(cosine));
    r.gap = a[top] - b[top];
    r.log_p_out = log_sum_exp(log_out);
    r.log_q_max = *std::max_element(log_in.begin(), log_in.end());
    return r;
  }
};

inline void expect_close(float value, double expected, double tolerance, const char* name) {
  EXPECT_NEAR(value, expected, tolerance * std::max(1.0, std::abs(expected))) << name;
}

// Relative for what may be small: a probability of 1e-20 must be right, too. Below 1e-37 a float has no such precision.
inline void expect_relative(float value, double expected, double tolerance, const char* name) {
  EXPECT_NEAR(value, expected, tolerance * std::abs(expected) + 1e-37) << name;
}

inline void expect_reference(const Problem& problem, const Scores& s, double tolerance) {
  for (int64_t row = 0; row < problem.n; ++row) {
    SCOPED_TRACE(testing::Message() << "image " << row);
    const Reference r = Reference::of(problem, row);
    expect_relative(s.ctw[row], r.ctw, tolerance, "ctw");
    expect_relative(s.atd[row], r.atd, tolerance, "atd");
    expect_relative(s.msp[row], r.msp, tolerance, "msp");
    expect_relative(s.mcm[row], r.mcm, tolerance, "mcm");
    expect_close(s.max_logit[row], r.max_logit, tolerance, "max_logit");
    expect_close(s.energy[row], r.energy, tolerance, "energy");
    expect_close(s.gap[row], r.gap, tolerance, "gap");
    expect_close(s.log_p_out[row], r.log_p_out, tolerance, "log_p_out");
    expect_close(s.log_q_max[row], r.log_q_max, tolerance, "log_q_max");
    if (!problem.group_ends.empty()) {
      expect_relative(s.neg_label[row], r.neg_label, tolerance, "neg_label");
      expect_relative(s.ole[row], r.ole, tolerance, "ole");
      expect_close(s.word_max[row], r.word_max, tolerance, "word_max");
      EXPECT_EQ(s.word_index[row], r.word_index);
    }
    for (int64_t i = 0; i < problem.k; ++i) {
      const int64_t at = row * problem.k + i;
      const int32_t label = r.order[i];
      EXPECT_EQ(s.top_index[at], label) << "place " << i;
      expect_relative(s.top_p[at], r.p[label], tolerance, "top_p");
      expect_relative(s.top_p_yes[at], r.p_yes[label], tolerance, "top_p_yes");
    }
  }
}

// Image i picks coordinate i of the bank, so every dot product is exact and any error is the recurrences' own.
inline Problem exact_problem(int64_t n, int64_t c, int64_t k, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> cosine(-1.0f, 1.0f);
  Problem problem{Floats(n * n, 0.0f), Floats(c * n), Floats(c * n), n, c, n, k};
  for (int64_t i = 0; i < n; ++i) problem.features[i * n + i] = 1.0f;
  for (Floats* bank : {&problem.yes, &problem.no}) {
    for (float& value : *bank) value = cosine(random);
  }
  return problem;
}

// Gives the problem words of random cosines, in groups that end there.
inline void give_words(Problem& problem, std::vector<int64_t> group_ends, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> cosine(-1.0f, 1.0f);
  problem.words.resize(group_ends.back() * problem.d);
  for (float& value : problem.words) value = cosine(random);
  problem.group_ends = std::move(group_ends);
}

// Rows as CLIP's: unit, around a common direction.
inline Problem unit_problem(int64_t n, int64_t c, int64_t d, int64_t k, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Problem problem{Floats(n * d), Floats(c * d), Floats(c * d), n, c, d, k};
  for (Floats* rows : {&problem.features, &problem.yes, &problem.no}) {
    for (size_t begin = 0; begin < rows->size(); begin += d) {
      double square = 0;
      for (int64_t i = 0; i < d; ++i) {
        float& value = (*rows)[begin + i];
        value = normal(random) + (i % 7 == 0 ? 2.0f : 0.0f);
        square += double{value} * value;
      }
      for (int64_t i = 0; i < d; ++i) (*rows)[begin + i] /= static_cast<float>(std::sqrt(square));
    }
  }
  return problem;
}

}  // namespace clipn

#endif  // CLIPN_TEST_SCORE_REFERENCE_H_
