#include "score/score.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "error.h"
#include "golden/worked-example.h"
#include "score_reference.h"
#include "targets.h"

namespace clipn {
namespace {

class Score : public PerTarget {};
CLIPN_FOR_EVERY_TARGET(Score);

// The tolerance is fp32's: a logit of 100 is only known to 1e-5.
TEST_P(Score, MatchesTheWorkedExample) {
  for (const ScoreGolden& golden : kScoreGolden) {
    SCOPED_TRACE(testing::Message() << "scale " << golden.scale);
    const Problem problem{floats(kGoldenFeatures), floats(kGoldenYes), floats(kGoldenNo), 2, 3, 4, 3, golden.scale};
    const Scores s = Scores::of(*GetParam(), problem);
    for (size_t row = 0; row < 2; ++row) {
      expect_close(s.ctw[row], golden.ctw[row], 1e-5, "ctw");
      expect_close(s.atd[row], golden.atd[row], 1e-5, "atd");
      expect_close(s.msp[row], golden.msp[row], 1e-5, "msp");
      expect_close(s.max_logit[row], golden.max_logit[row], 1e-6, "max_logit");
      expect_close(s.energy[row], golden.energy[row], 1e-6, "energy");
      expect_close(s.mcm[row], golden.mcm[row], 1e-5, "mcm");
      expect_close(std::exp(s.log_p_out[row]), golden.p_out[row], 1e-5, "log_p_out");
      const auto q = golden.q.begin() + row * 3;
      expect_close(std::exp(s.log_q_max[row]), *std::max_element(q, q + 3), 1e-5, "log_q_max");
      const size_t top = row * 3 + s.top_index[row * 3];
      EXPECT_EQ(s.top_index[row * 3], row == 0 ? 0 : 1);
      expect_close(s.gap[row], golden.logits_yes[top] - golden.logits_no[top], 1e-5, "gap");
      for (size_t i = row * 3; i < row * 3 + 3; ++i) {
        expect_close(s.top_p[i], golden.p[row * 3 + s.top_index[i]], 1e-5, "top_p");
        expect_close(s.top_p_yes[i], golden.p_yes[row * 3 + s.top_index[i]], 1e-5, "top_p_yes");
        expect_close(s.logits_yes[i], golden.logits_yes[i], 1e-6, "logits_yes");
        expect_close(s.logits_no[i], golden.logits_no[i], 1e-6, "logits_no");
      }
    }
  }
}

// 4e-6: s (x - m) reaches 200, where a float's rounding alone is 7.6e-6 on terms that are e^-200 small, and below 1e-6
// on those that count.
TEST_P(Score, MatchesDoubleOnExactDotProducts) {
  for (const int64_t c : {1, 2, 7, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1000, 1025}) {
    SCOPED_TRACE(testing::Message() << c << " classes");
    const Problem problem = exact_problem(9, c, std::min<int64_t>(c, 6), static_cast<uint32_t>(c));
    expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
  }
}

TEST_P(Score, MatchesDoubleOnAHundredThousandClasses) {
  const Problem problem = exact_problem(3, 100000, 5, 3);
  expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
}

// 5e-5: a sum of 512 products in fp32 is off by some 3e-7, times the scale of 100.
TEST_P(Score, MatchesDoubleOnUnitFeatures) {
  const Problem problem = unit_problem(70, 600, 512, 5, 1);
  expect_reference(problem, Scores::of(*GetParam(), problem), 5e-5);
}

// Groups of one word, of a vector register, of a tile of the pass and across its border, many in one tile, one in all.
TEST_P(Score, MatchesDoubleWithWordsInGroupsOfAnySize) {
  std::vector<int64_t> single(700), even;
  std::iota(single.begin(), single.end(), 1);
  for (int64_t end = 100; end <= 10000; end += 100) even.push_back(end);
  const std::vector<std::vector<int64_t>> all = {
      {1}, {15}, {16}, {17, 50}, {512}, {513}, {511, 512, 513, 2000}, {3, 1300}, {1024}, {20000}, single, even};
  for (const std::vector<int64_t>& ends : all) {
    SCOPED_TRACE(testing::Message() << ends.size() << " groups of " << ends.back() << " words");
    Problem problem = exact_problem(9, 70, 3, 11);
    give_words(problem, ends, 12);
    expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
  }
}

TEST_P(Score, MatchesDoubleOnFiftyThousandWords) {
  std::vector<int64_t> ends(100);
  for (size_t i = 0; i < ends.size(); ++i) ends[i] = static_cast<int64_t>(i + 1) * 500;
  Problem problem = exact_problem(3, 1000, 5, 13);
  give_words(problem, ends, 14);
  expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
}

// e^-80 and e^80 beside the labels' 1: what is left of either is still right.
TEST_P(Score, WordsMayBeFarAboveTheLabelsAndFarBelow) {
  Problem problem{{1.0f}, {0.0f, -0.125f}, {-0.5f, 0.25f}, 1, 2, 1, 2};
  problem.group_ends = {1, 2};
  for (const Floats& words : {Floats{0.8f, 0.75f}, Floats{-0.8f, -0.75f}, Floats{-0.8f, 0.5f}}) {
    problem.words = words;
    expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
  }
  problem.scale = 2000.0f;  // e^1000 is no double
  problem.words = {0.5f, 0.5f};
  const Scores s = Scores::of(*GetParam(), problem);
  EXPECT_EQ(s.neg_label[0], 0.0f);
  EXPECT_EQ(s.ole[0], 0.0f);
}

// The rule "in when the nearest is a label" hangs on it. Words: the labels and as many others, in another order, so
// that equal rows stand at other places of other tiles.
TEST_P(Score, AWordThatIsALabelTiesWithItExactly) {
  for (const int64_t c : {1, 3, 17, 100, 513, 1000}) {
    SCOPED_TRACE(testing::Message() << c << " classes");
    Problem problem = unit_problem(67, c, 512, 1, static_cast<uint32_t>(c));
    problem.words.resize(c * 512);
    for (int64_t j = 0; j < c; ++j) {
      std::copy_n(problem.yes.begin() + j * 512, 512, problem.words.begin() + (c - 1 - j) * 512);
    }
    problem.group_ends = {c};
    const Scores s = Scores::of(*GetParam(), problem);
    for (size_t row = 0; row < 67; ++row) {
      EXPECT_EQ(s.word_max[row], s.max_logit[row]);
      EXPECT_EQ(s.word_index[row], c - 1 - s.top_index[row]);
    }
  }
}

TEST_P(Score, OfEqualWordsTheFirstIsNamed) {
  Problem problem = exact_problem(1, 3, 1, 5);
  give_words(problem, {400, 20000}, 6);
  for (const int64_t k : {19999, 701, 700, 9000}) problem.words[k] = 1.5f;
  const Scores s = Scores::of(*GetParam(), problem);
  EXPECT_EQ(s.word_index[0], 700);
  EXPECT_EQ(s.word_max[0], 150.0f);
}

TEST_P(Score, WordsChangeNoOtherScore) {
  Problem problem = unit_problem(3, 40, 16, 4, 21);
  Scores without = Scores::of(*GetParam(), problem);
  for (const Floats* values : without.word_rows()) {
    for (size_t row = 0; row < 3; ++row) EXPECT_TRUE(std::isnan((*values)[row]));
  }
  EXPECT_EQ(std::vector<int32_t>(without.word_index.begin(), without.word_index.end() - 1),
            (std::vector<int32_t>{-1, -1, -1}));
  give_words(problem, {7, 30}, 22);
  Scores with = Scores::of(*GetParam(), problem);
  for (size_t i = 0; i < with.rows().size(); ++i) EXPECT_EQ(*with.rows()[i], *without.rows()[i]);
  EXPECT_EQ(with.top_p, without.top_p);
}

TEST_P(Score, WithoutANoBankOleIsNanAndNegLabelStands) {
  Problem problem = unit_problem(3, 40, 16, 4, 23);
  give_words(problem, {7, 30}, 24);
  const Scores both = Scores::of(*GetParam(), problem);
  problem.no.clear();
  const Scores plain = Scores::of(*GetParam(), problem);
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(std::isnan(plain.ole[row]));
    expect_relative(plain.neg_label[row], both.neg_label[row], 2e-6, "neg_label");
    EXPECT_EQ(plain.word_max[row], both.word_max[row]);
    EXPECT_EQ(plain.word_index[row], both.word_index[row]);
  }
}

TEST_P(Score, ANanInAWordSpoilsTheScoresWithWordsAlone) {
  Problem problem = unit_problem(2, 40, 16, 4, 25);
  give_words(problem, {700, 1500}, 26);
  problem.words[1100 * 16 + 3] = std::numeric_limits<float>::quiet_NaN();
  Scores s = Scores::of(*GetParam(), problem);
  for (size_t row = 0; row < 2; ++row) {
    for (const Floats* values : s.word_rows()) EXPECT_TRUE(std::isnan((*values)[row]));
    EXPECT_EQ(s.word_index[row], -1);
    for (const Floats* values : s.rows()) EXPECT_FALSE(std::isnan((*values)[row]));
  }
}

TEST_P(Score, EqualClassesKeepTheirOrderInTheTopList) {
  Problem problem = exact_problem(1, 20000, 5, 5);
  for (const int64_t j : {19999, 700, 12, 13, 9000}) problem.yes[j] = 1.5f;
  problem.no[12] = 1.25f;
  const Scores s = Scores::of(*GetParam(), problem);
  EXPECT_EQ(std::vector<int32_t>(s.top_index.begin(), s.top_index.end() - 1),
            (std::vector<int32_t>{12, 13, 700, 9000, 19999}));
  EXPECT_EQ(s.gap[0], 25.0f) << "of the first of the equal classes";
}

TEST_P(Score, GapRanksWhereCtwIsSaturated) {
  Problem problem{{1.0f, 0.0f, 0.0f, 1.0f}, {0.5f, 0.5f}, {0.25f, 0.125f}, 2, 1, 2, 0};
  const Scores s = Scores::of(*GetParam(), problem);
  EXPECT_EQ(s.ctw[0], 1.0f);
  EXPECT_EQ(s.ctw[1], 1.0f);
  EXPECT_EQ(s.gap[0], 25.0f);
  EXPECT_EQ(s.gap[1], 37.5f);
  EXPECT_LT(s.log_p_out[1], s.log_p_out[0]);
}

// exp(-135) is no fp32 number; the log forms must hold it.
TEST_P(Score, LogFormsHoldGapsOf135) {
  const Problem problem{
      {1.0f, 0.0f, 0.0f, 1.0f}, {0.6f, -0.75f, 0.5f, -0.8f}, {-0.75f, 0.6f, -0.85f, 0.55f}, 2, 2, 2, 2};
  const Scores s = Scores::of(*GetParam(), problem);
  expect_reference(problem, s, 4e-6);
  EXPECT_NEAR(s.log_p_out[0], -135.0, 1e-3);
  EXPECT_NEAR(s.log_q_max[1], -135.00672, 1e-3) << "log(1 + e^-5) below the gap";
  EXPECT_EQ(s.atd[0], 1.0f);
  EXPECT_LT(s.atd[1], 1e-37f);
}

// At this distance e^{a - max} is no fp32 number either, yet it carries the whole of "out".
TEST_P(Score, AFarClassMayDecideLogPOut) {
  const Problem problem{{1.0f}, {0.75f, -0.25f}, {-0.5f, 0.5f}, 1, 2, 1, 2};
  expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
}

TEST_P(Score, ANanFeatureSpoilsItsImageOnly) {
  Problem problem = unit_problem(5, 100, 16, 3, 2);
  give_words(problem, {10, 600}, 2);
  const Scores clean = Scores::of(*GetParam(), problem);
  problem.features[2 * 16 + 7] = std::numeric_limits<float>::quiet_NaN();
  Scores s = Scores::of(*GetParam(), problem);
  for (Floats* values : s.rows()) EXPECT_TRUE(std::isnan((*values)[2]));
  for (Floats* values : s.word_rows()) EXPECT_TRUE(std::isnan((*values)[2]));
  EXPECT_EQ(s.word_index[2], -1);
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(s.top_index[6 + i], i);
    EXPECT_TRUE(std::isnan(s.top_p[6 + i]) && std::isnan(s.top_p_yes[6 + i]));
  }
  for (const size_t row : {0, 1, 3, 4}) {
    EXPECT_EQ(s.atd[row], clean.atd[row]);
    EXPECT_EQ(s.ole[row], clean.ole[row]);
    EXPECT_EQ(s.word_index[row], clean.word_index[row]);
  }
}

TEST_P(Score, ANanInTheBankSpoilsEveryImage) {
  for (const bool in_no : {false, true}) {
    Problem problem = unit_problem(2, 1000, 16, 3, 2);
    give_words(problem, {10, 600}, 2);
    (in_no ? problem.no : problem.yes)[777 * 16] = std::numeric_limits<float>::quiet_NaN();
    Scores s = Scores::of(*GetParam(), problem);
    for (const auto& list : {s.rows(), s.word_rows()}) {
      for (Floats* values : list) EXPECT_TRUE(std::isnan((*values)[0]) && std::isnan((*values)[1])) << in_no;
    }
  }
}

TEST_P(Score, WithoutANoBankTheYesScoresStandAndTheOthersAreNan) {
  Problem problem = unit_problem(3, 700, 32, 4, 4);
  Scores both = Scores::of(*GetParam(), problem);
  problem.no.clear();
  Scores plain = Scores::of(*GetParam(), problem);
  for (size_t row = 0; row < 3; ++row) {
    for (const Floats* values : {&plain.ctw, &plain.atd, &plain.gap, &plain.log_p_out, &plain.log_q_max}) {
      EXPECT_TRUE(std::isnan((*values)[row]));
    }
    EXPECT_EQ(plain.max_logit[row], both.max_logit[row]);
    expect_relative(plain.msp[row], both.msp[row], 2e-6, "msp");
    expect_close(plain.energy[row], both.energy[row], 2e-6, "energy");
    expect_relative(plain.mcm[row], both.mcm[row], 2e-6, "mcm");
  }
  EXPECT_EQ(plain.top_index, both.top_index);
  for (size_t i = 0; i < 12; ++i) {
    expect_relative(plain.top_p[i], both.top_p[i], 2e-6, "top_p");
    EXPECT_TRUE(std::isnan(plain.top_p_yes[i]));
  }
  for (size_t i = 0; i < 2100; ++i) EXPECT_TRUE(std::isnan(plain.logits_no[i]));
}

TEST_P(Score, TheTopListMayBeEmptyOrComplete) {
  Problem problem = exact_problem(2, 1500, 1500, 8);
  expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
  problem.k = 0;
  expect_reference(problem, Scores::of(*GetParam(), problem), 4e-6);
}

TEST_P(Score, AnImagesBitsDependNeitherOnItsBatchNorOnThreads) {
  if (!at::hasMKL()) GTEST_SKIP() << "holds for MKL's matrix product only";
  Problem all = unit_problem(130, 600, 512, 3, 9);
  give_words(all, {90, 500, 4000}, 10);
  const Scores whole = Scores::of(*GetParam(), all);
  const int threads = at::get_num_threads();
  for (const auto& [first, n] : {std::pair<int64_t, int64_t>{0, 1}, {5, 1}, {127, 3}, {3, 65}}) {
    at::set_num_threads(first == 5 ? 1 : threads);
    Problem part = all;
    part.n = n;
    part.features.assign(all.features.begin() + first * 512, all.features.begin() + (first + n) * 512);
    const Scores s = Scores::of(*GetParam(), part);
    for (int64_t row = 0; row < n; ++row) {
      EXPECT_EQ(s.atd[row], whole.atd[first + row]);
      EXPECT_EQ(s.energy[row], whole.energy[first + row]);
      EXPECT_EQ(s.neg_label[row], whole.neg_label[first + row]);
      EXPECT_EQ(s.ole[row], whole.ole[first + row]);
      EXPECT_EQ(s.word_max[row], whole.word_max[first + row]);
      EXPECT_EQ(s.word_index[row], whole.word_index[first + row]);
      EXPECT_TRUE(std::equal(s.logits_yes.begin() + row * 600, s.logits_yes.begin() + (row + 1) * 600,
                             whole.logits_yes.begin() + (first + row) * 600));
    }
  }
  at::set_num_threads(threads);
}

TEST(ScoreArguments, LogitsAndWithoutWordsTheirScoresMayBeLeftOut) {
  const Problem problem = unit_problem(3, 40, 8, 2, 6);
  const Scores with = Scores::of(cpu::kernels(), problem);
  Scores without = with;
  std::fill(without.atd.begin(), without.atd.end(), 0.0f);
  clipn_score_output output = without.output();
  output.logits_yes = output.logits_no = nullptr;
  output.neg_label = output.ole = output.word_max = nullptr;  // of words, and there are none
  output.word_index = nullptr;
  const clipn_score_input input = problem.input();
  score(input, output);
  EXPECT_TRUE(std::equal(without.atd.begin(), without.atd.begin() + 3, with.atd.begin()));
}

TEST(ScoreArguments, OutsideTheirRangeAreRefused) {
  Problem problem = unit_problem(2, 4, 8, 2, 6);
  give_words(problem, {2, 5}, 7);
  Scores room = Scores::of(cpu::kernels(), problem);
  using Spoil = std::function<void(clipn_score_input&, clipn_score_output&)>;
  const auto status = [&](const Spoil& spoil) {
    clipn_score_input input = problem.input();
    clipn_score_output output = room.output();
    spoil(input, output);
    try {
      score(input, output);
      return CLIPN_OK;
    } catch (const Error& error) {
      return error.status();
    }
  };
  EXPECT_EQ(status([](auto&, auto&) {}), CLIPN_OK);
  EXPECT_EQ(status([](auto& in, auto&) { in.n = 0; }), CLIPN_OK) << "no image is no error";
  const float inf = std::numeric_limits<float>::infinity();
  static constexpr int64_t falling[] = {7, 5}, empty[] = {0, 5};
  const std::vector<Spoil> wrong = {
      [](auto& in, auto&) { in.size = 4; },
      [](auto&, auto& out) { out.size = 4; },
      [](auto& in, auto&) { in.n = -1; },
      [](auto& in, auto&) { in.c = 0; },
      [](auto& in, auto&) { in.d = 0; },
      [](auto& in, auto&) { in.k = -1; },
      [](auto& in, auto&) { in.k = 5; },
      [](auto& in, auto&) { in.c = int64_t{1} << 31; },
      [](auto& in, auto&) { in.scale = 0; },
      [inf](auto& in, auto&) { in.scale = inf; },
      [](auto& in, auto&) { in.scale = -1; },
      [](auto& in, auto&) { in.features = nullptr; },
      [](auto&, auto& out) { out.atd = nullptr; },
      [](auto& in, auto&) { in.bank_yes = nullptr; },
      [](auto&, auto& out) { out.top_p = nullptr; },
      [](auto& in, auto&) { in.n = in.d = std::numeric_limits<int64_t>::max() / 2; },
      [](auto& in, auto&) { in.w = -1; },
      [](auto& in, auto&) { in.w = 0; },
      [](auto& in, auto&) { in.w = 4; },
      [](auto& in, auto&) { in.w = 6; },
      [](auto& in, auto&) { in.w = int64_t{1} << 31; },
      [](auto& in, auto&) { in.groups = 0; },
      [](auto& in, auto&) { in.groups = -1; },
      [](auto& in, auto&) { in.groups = 1; },
      [](auto& in, auto&) { in.groups = 6; },
      [](auto& in, auto&) { in.words = nullptr; },
      [](auto& in, auto&) { in.group_ends = nullptr; },
      [](auto& in, auto&) { in.group_ends = falling; },
      [](auto& in, auto&) { in.group_ends = empty; },
      [](auto&, auto& out) { out.neg_label = nullptr; },
      [](auto&, auto& out) { out.ole = nullptr; },
      [](auto&, auto& out) { out.word_max = nullptr; },
      [](auto&, auto& out) { out.word_index = nullptr; },
  };
  for (size_t i = 0; i < wrong.size(); ++i) EXPECT_EQ(status(wrong[i]), CLIPN_INVALID_ARG) << "case " << i;
}

}  // namespace
}  // namespace clipn
