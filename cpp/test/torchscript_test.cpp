// What clipn_export_torchscript writes, loaded by libtorch as a server loads it: features are those of the model,
// scores those of spec 3 in double.
#include <ATen/ops/from_blob.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
#include <string>
#include <vector>

#include "model/module_file.h"
#include "model/normalise.h"
#include "score_reference.h"
#include "tiny_checkpoint.h"

namespace clipn {
namespace {

constexpr int64_t kEach = TinyCheckpoint::kSide * TinyCheckpoint::kSide * 3;

class TorchScript : public testing::Test {
 protected:
  void SetUp() override {
    const clipn_export_options exporting = checkpoint.options(model);
    ASSERT_EQ(clipn_export(&exporting, nullptr), CLIPN_OK);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 256);
  }

  clipn_status written(const Problem& bank, uint32_t normalised, clipn_error* error = nullptr) {
    const clipn_score_input input = bank.input();
    const clipn_torchscript_options options = {
        sizeof(options), model.c_str(),      target.c_str(),     &input,           kSide,
        normalised,      {0.5F, 0.4F, 0.3F}, {0.2F, 0.3F, 0.4F}, R"({"labels":1})"};
    return clipn_export_torchscript(&options, error);
  }

  torch::jit::Module loaded() {
    torch::jit::ExtraFilesMap extra{{"forward.json", ""}};
    torch::jit::Module module = load_module(target, extra);
    EXPECT_EQ(extra["forward.json"], R"({"labels":1})");
    return module;
  }

  std::vector<at::Tensor> answers(const at::Tensor& image) {
    std::vector<at::Tensor> out;
    const c10::IValue tuple = loaded().forward({image});
    for (const auto& each : tuple.toTupleRef().elements()) out.push_back(each.toTensor());
    return out;
  }

  at::Tensor bytes() { return at::from_blob(pixels.data(), {kImages, kSide, kSide, 3}, at::kByte); }

  /// The same images as encode_image takes them.
  at::Tensor numbers() {
    clipn_image_batch batch = {};
    for (size_t c = 0; c < 3; ++c) {
      batch.mean[c] = mean[c];
      batch.std[c] = std[c];
    }
    const auto table = normalisation_table(batch);
    normalised.clear();
    for (int64_t image = 0; image < kImages; ++image) {
      for (size_t c = 0; c < 3; ++c) {
        for (int64_t p = 0; p < kEach / 3; ++p) normalised.push_back(table[c][pixels[image * kEach + p * 3 + c]]);
      }
    }
    return at::from_blob(normalised.data(), {kImages, 3, kSide, kSide}, at::kFloat);
  }

  static Problem bank(bool no, bool words) {
    Problem problem = unit_problem(kImages, 5, TinyCheckpoint::kEmbed, 0, 3);
    if (!no) problem.no.clear();
    if (words) {
      Problem more = unit_problem(1, 7, TinyCheckpoint::kEmbed, 0, 4);
      problem.words = more.yes;
      problem.group_ends = {2, 3, 7};
    }
    problem.n = 0;
    return problem;
  }

  static constexpr int64_t kImages = 3;
  static constexpr uint32_t kSide = TinyCheckpoint::kSide;
  const std::array<float, 3> mean = {0.5F, 0.4F, 0.3F}, std = {0.2F, 0.3F, 0.4F};
  TemporaryFolder folder;
  std::string model = folder / "model.pt", target = folder / "forward.pt";
  TinyCheckpoint checkpoint{folder / "checkpoint.bin"};
  std::vector<uint8_t> pixels = std::vector<uint8_t>(kImages * kEach);
  std::vector<float> normalised;
};

// Column or row `image` of an answer.
float number(const at::Tensor& of, int64_t image, int64_t at = 0) { return of[image][at].item<float>(); }

// `out` are the answers of a bank with these parts, in the order that core.h gives.
void expect_scores(const std::vector<at::Tensor>& out, Problem problem, int64_t images) {
  const bool no = !problem.no.empty(), words = !problem.group_ends.empty();
  ASSERT_EQ(out.size(), 7U + (no ? 6 : 0) + (words ? 3 : 0) + (no && words ? 1 : 0));
  const at::Tensor rows = out[0].contiguous();
  problem.features.assign(rows.const_data_ptr<float>(), rows.const_data_ptr<float>() + rows.numel());
  for (int64_t image = 0; image < images; ++image) {
    SCOPED_TRACE(testing::Message() << "image " << image);
    Problem plain = problem;
    if (!no) plain.no = plain.yes;  // the reference has no other way; what needs a no is not looked at
    const Reference r = Reference::of(plain, image);
    EXPECT_EQ(out[1][image][0].item<int64_t>(), r.order[0]);
    for (int64_t c = 0; c < problem.c; ++c) expect_relative(number(out[2], image, c), r.p[c], 1e-4, "p");
    expect_relative(number(out[3], image), r.msp, 1e-4, "msp");
    expect_close(number(out[4], image), r.max_logit, 1e-6, "max_logit");
    expect_close(number(out[5], image), r.energy, 1e-6, "energy");
    expect_relative(number(out[6], image), r.mcm, 1e-6, "mcm");
    size_t next = 7;
    if (no) {
      for (int64_t c = 0; c < problem.c; ++c) expect_relative(number(out[7], image, c), r.p_yes[c], 1e-4, "p_yes");
      expect_relative(number(out[8], image), r.ctw, 1e-4, "ctw");
      expect_relative(number(out[9], image), r.atd, 1e-4, "atd");
      expect_close(number(out[10], image), r.gap, 1e-4, "gap");
      expect_close(number(out[11], image), r.log_p_out, 1e-4, "log_p_out");
      expect_close(number(out[12], image), r.log_q_max, 1e-4, "log_q_max");
      next = 13;
    }
    if (words) {
      EXPECT_EQ(out[next][image][0].item<int64_t>(), r.word_index);
      expect_relative(number(out[next + 1], image), r.neg_label, 1e-4, "neg_label");
      expect_close(number(out[next + 2], image), r.word_max, 1e-6, "word_max");
    }
    if (no && words) expect_relative(number(out[next + 3], image), r.ole, 1e-4, "ole");
  }
}

TEST_F(TorchScript, GivesTheScoresOfEveryKindOfBank) {
  for (const bool no : {false, true}) {
    for (const bool words : {false, true}) {
      SCOPED_TRACE(testing::Message() << "no " << no << ", words " << words);
      clipn_error error = {};
      ASSERT_EQ(written(bank(no, words), 0, &error), CLIPN_OK) << error.text;
      expect_scores(answers(bytes()), bank(no, words), kImages);
    }
  }
}

TEST_F(TorchScript, GivesTheModelsFeaturesForPixelsAndForNormalisedNumbers) {
  const clipn_model_options opening = {sizeof(opening), CLIPN_FP32, CLIPN_CPU, 1};
  clipn_model* opened = nullptr;
  ASSERT_EQ(clipn_model_open(model.c_str(), &opening, &opened, nullptr), CLIPN_OK);
  clipn_image_batch batch = {sizeof(batch), kSide, pixels.data(), kImages, {}, {}, nullptr};
  for (size_t c = 0; c < 3; ++c) {
    batch.mean[c] = mean[c];
    batch.std[c] = std[c];
  }
  std::vector<float> expected(kImages * TinyCheckpoint::kEmbed);
  EXPECT_EQ(clipn_encode_images(opened, &batch, TinyCheckpoint::kEmbed, expected.data(), nullptr), CLIPN_OK);
  clipn_model_close(opened);
  for (const uint32_t kind : {0U, 1U}) {
    ASSERT_EQ(written(bank(true, false), kind), CLIPN_OK);
    const at::Tensor features = answers(kind == 0 ? bytes() : numbers())[0];
    for (int64_t i = 0; i < kImages * TinyCheckpoint::kEmbed; ++i) {
      EXPECT_NEAR(features.reshape({-1})[i].item<float>(), expected[i], 1e-5) << "kind " << kind << ", number " << i;
    }
  }
}

TEST_F(TorchScript, LeavesTheTextTowersBehind) {
  ASSERT_EQ(written(bank(true, true), 0), CLIPN_OK);
  for (const auto& each : loaded().named_parameters()) EXPECT_EQ(each.name.rfind("clip.visual.", 0), 0U) << each.name;
}

TEST_F(TorchScript, TakesAProgramOfOthersAsItIs) {
  torch::jit::Module other("Other");
  other.define(R"(
def encode_image(self, pixels):
    return pixels.mean([2, 3]) / pixels.mean([2, 3]).norm(2, [1], True)
)");
  other.save(model);
  const Problem given = bank(true, true);
  ASSERT_EQ(written(given, 1), CLIPN_OK);
  const std::vector<at::Tensor> out = answers(numbers());
  expect_scores(out, given, kImages);
  const at::Tensor means = numbers().mean({2, 3});
  EXPECT_NEAR(number(out[0], 0), (means[0][0] / means[0].norm()).item<float>(), 1e-6);
}

TEST_F(TorchScript, RefusesWhatCannotRun) {
  clipn_error error = {};
  Problem wide = unit_problem(1, 5, TinyCheckpoint::kEmbed + 1, 0, 3);
  EXPECT_EQ(written(wide, 0, &error), CLIPN_MODEL_CONTRACT) << error.text;
  torch::jit::Module without("Without");
  without.define("def encode(self, x):\n    return x\n");
  without.save(model);
  EXPECT_EQ(written(bank(true, false), 0, &error), CLIPN_MODEL_CONTRACT);
  EXPECT_NE(std::string(error.text).find("no method encode_image"), std::string::npos) << error.text;
  model = folder / "absent.pt";
  EXPECT_EQ(written(bank(true, false), 0, &error), CLIPN_MODEL_NOT_FOUND);
  EXPECT_FALSE(std::filesystem::exists(target));
}

}  // namespace
}  // namespace clipn
