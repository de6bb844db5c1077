// Training: the losses against the golden values, and what a step may and may not change.
#include <ATen/Context.h>
#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <clipn/core.h>
#include <golden/worked-example.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "teach/losses.h"
#include "tiny_checkpoint.h"

namespace clipn {
namespace {

at::Tensor matrix(const std::vector<double>& values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}

at::Tensor all_others(int64_t n) { return 1 - at::eye(n, at::kDouble); }

TEST(Losses, AreTheGoldenOnes) {
  for (const LossGolden& golden : kLossGolden) {
    const Losses found =
        losses(matrix(kLossImage, 4), matrix(kLossYes, 4), matrix(kLossNo, 4), golden.scale, all_others(3));
    // softplus goes over to its asymptote at 20, 2e-9 from it.
    EXPECT_NEAR(found.yes.item<double>(), golden.yes, 1e-8);
    EXPECT_NEAR(found.no.item<double>(), golden.no, 1e-8);
    EXPECT_NEAR(found.text.item<double>(), golden.text, 1e-12);
    EXPECT_NEAR(found.total.item<double>(), golden.total, 1e-8);
  }
}

TEST(Losses, HaveTheGoldenGradient) {
  const at::Tensor raw = matrix(kLossNoRaw, 4).requires_grad_(true);
  const at::Tensor h = raw / at::linalg_vector_norm(raw, 2, at::IntArrayRef{-1}, true);
  losses(matrix(kLossImage, 4), matrix(kLossYes, 4), h, kLossGradientScale, all_others(3)).total.backward();
  const double distance = (raw.grad() - matrix(kLossGradient, 4)).abs().max().item<double>();
  EXPECT_LT(distance, 1e-12);
}

TEST(Losses, BeginAtTheValuesOfEqualTowers) {
  const at::Tensor g = matrix(kLossYes, 4);
  const Losses found = losses(matrix(kLossImage, 4), g, g, 100, all_others(3));
  EXPECT_NEAR(found.yes.item<double>(), std::log(2.0), 1e-12);
  EXPECT_NEAR(found.no.item<double>(), std::log(2.0), 1e-12);
  EXPECT_NEAR(found.text.item<double>(), 1.99, 1e-9);
  EXPECT_NEAR(found.total.item<double>(), 1.6881, 1e-4);
}

TEST(Losses, StayFiniteWhereAProbabilityIsZero) {
  const at::Tensor f = at::eye(2), g = -at::eye(2), others = 1 - at::eye(2);
  const at::Tensor h = at::eye(2).requires_grad_(true);
  const Losses found = losses(f, g, h, 1e6, others);
  EXPECT_NEAR(found.yes.item<double>(), 2e6, 1) << "-log of a probability of exp(-2e6)";
  EXPECT_EQ(losses(f, h.detach(), g, 1e6, others).yes.item<double>(), 0);
  found.total.backward();
  EXPECT_TRUE(at::isfinite(h.grad()).all().item<bool>());
}

TEST(Losses, LeaveOutWhatIsNoNegative) {
  const at::Tensor f = matrix(kLossImage, 4), g = matrix(kLossYes, 4), h = matrix(kLossNo, 4);
  at::Tensor negative = all_others(3);
  negative[0][1] = 0;
  negative[1][0] = 0;
  const at::Tensor z = 10 * (f.matmul(g.t()) - f.matmul(h.t()));
  double expected = 0;
  for (const auto& [i, j] : {std::pair{0, 2}, {1, 2}, {2, 0}, {2, 1}}) {
    expected += std::log1p(std::exp(z[i][j].item<double>())) / 4;
  }
  EXPECT_NEAR(losses(f, g, h, 10, negative).no.item<double>(), expected, 1e-12);
  EXPECT_EQ(losses(f, g, h, 10, at::zeros({3, 3}, at::kDouble)).no.item<double>(), 0) << "no negatives at all";
}

struct CloseTeacher {
  void operator()(clipn_teacher* teacher) const { clipn_teacher_close(teacher); }
};
using TeacherHandle = std::unique_ptr<clipn_teacher, CloseTeacher>;

class CoreTeacher : public testing::Test {
 protected:
  static constexpr int64_t kD = TinyCheckpoint::kEmbed, kN = 4, kL = TinyCheckpoint::kContext;

  clipn_teacher_options options() {
    clipn_teacher_options out = {};
    out.size = sizeof(out);
    out.checkpoint = path.c_str();
    out.tensors = checkpoint.tensors.data();
    out.tensor_count = checkpoint.tensors.size();
    out.architecture = &checkpoint.architecture;
    out.precision = CLIPN_FP32;
    out.device = "cpu";
    out.prompts = TinyCheckpoint::kPrompts;
    out.scale = 20;
    out.beta1 = 0.9;
    out.beta2 = 0.98;
    out.epsilon = 1e-6;
    out.weight_decay = 0.2;
    return out;
  }
  static TeacherHandle opened(const clipn_teacher_options& options) {
    clipn_teacher* teacher = nullptr;
    clipn_error error;
    EXPECT_EQ(clipn_teacher_open(&options, &teacher, &error), CLIPN_OK) << error.text;
    return TeacherHandle(teacher);
  }
  clipn_teacher_batch batch(double learning_rate) const {
    return {sizeof(clipn_teacher_batch),
            kN,
            kL,
            image.data(),
            yes.data(),
            ids.data(),
            maps.data(),
            groups.data(),
            learning_rate};
  }
  static clipn_teacher_losses step(const TeacherHandle& teacher, const clipn_teacher_batch& batch) {
    clipn_teacher_losses losses = {};
    losses.size = sizeof(losses);
    clipn_error error;
    EXPECT_EQ(clipn_teacher_step(teacher.get(), &batch, &losses, &error), CLIPN_OK) << error.text;
    return losses;
  }
  std::map<std::string, std::vector<float>> read(const TeacherHandle& teacher, clipn_teacher_part part) {
    std::map<std::string, std::vector<float>> out;
    for (const clipn_tensor& tensor : checkpoint.tensors) {
      const std::string name = tensor.name;
      if (name.find("_no") == std::string::npos) continue;
      size_t count = 1;
      for (uint32_t i = 0; i < tensor.rank; ++i) count *= static_cast<size_t>(tensor.shape[i]);
      out[name].resize(count);
      EXPECT_EQ(clipn_teacher_read(teacher.get(), part, tensor.name, out[name].data(), count, nullptr), CLIPN_OK);
    }
    return out;
  }
  void expect_refused(const std::string& text, const clipn_teacher_batch& batch, const TeacherHandle& teacher) {
    clipn_teacher_losses losses = {};
    losses.size = sizeof(losses);
    clipn_error error;
    EXPECT_EQ(clipn_teacher_step(teacher.get(), &batch, &losses, &error), CLIPN_INVALID_ARG);
    EXPECT_NE(std::string(error.text).find(text), std::string::npos) << "says: " << error.text;
  }

  TemporaryFolder folder;
  std::string path = folder / "checkpoint.bin";
  TinyCheckpoint checkpoint{path};
  std::vector<float> image = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.6F, 0.8F, 0};
  std::vector<float> yes = {0.8F, 0.6F, 0, 0, 0.8F, 0.6F, 0.6F, 0, 0.8F, 0, 1, 0};
  // 6, the largest id, ends each text: lengths 2, 4, 3, 5
  std::vector<int64_t> ids = {1, 6, 0, 0, 0, 5, 2, 3, 6, 0, 4, 1, 6, 0, 0, 2, 3, 4, 5, 6};
  std::vector<int64_t> maps = {0, 1, 2, 0};  // 2 is the mean of both
  std::vector<int64_t> groups = {0, 1, 2, 3};
};

TEST_F(CoreTeacher, EncodesAsTheExportedNoTowerDoes) {
  // With every text at the mean map and a step of size 0, TSO tells the distance between `yes` and the no features.
  const std::string target = folder / "model.pt";
  const clipn_export_options exporting = checkpoint.options(target);
  ASSERT_EQ(clipn_export(&exporting, nullptr), CLIPN_OK);
  const clipn_model_options model_options = {sizeof(model_options), CLIPN_FP32};
  clipn_model* model = nullptr;
  ASSERT_EQ(clipn_model_open(target.c_str(), &model_options, &model, nullptr), CLIPN_OK);
  std::vector<float> no(kN * kD);
  ASSERT_EQ(clipn_encode_text(model, CLIPN_TEXT_NO, ids.data(), kN, kL, kD, no.data(), nullptr), CLIPN_OK);
  clipn_model_close(model);

  maps.assign(kN, TinyCheckpoint::kPrompts);
  yes = no;
  EXPECT_NEAR(step(opened(options()), batch(0)).text, 1.99, 1e-4);
  for (float& value : yes) value = -value;
  EXPECT_NEAR(step(opened(options()), batch(0)).text, 0, 1e-4);
  clipn_teacher_options bf16 = options();
  bf16.precision = CLIPN_BF16;
  EXPECT_NEAR(step(opened(bf16), batch(0)).text, 0, 1e-2);
}

TEST_F(CoreTeacher, MovesEachWeightByAtMostTheRateAndDecaysMatricesAlone) {
  const TeacherHandle teacher = opened(options());
  const auto before = read(teacher, CLIPN_TEACHER_WEIGHT);
  constexpr double kRate = 1e-3;
  EXPECT_EQ(step(teacher, batch(kRate)).finite, 1u);
  const auto after = read(teacher, CLIPN_TEACHER_WEIGHT), gradient = read(teacher, CLIPN_TEACHER_MEAN);
  size_t moved = 0;
  for (const auto& [name, values] : before) {
    const double decay = checkpoint.tensor(name).rank >= 2 ? kRate * 0.2 : 0;
    for (size_t i = 0; i < values.size(); ++i) {
      // The first step's moments are (1 - beta) times the gradient g and its square: the step is rate g / (|g| +
      // epsilon).
      const double g = gradient.at(name)[i] / 0.1;
      const double expected = values[i] * (1 - decay) - kRate * g / (std::abs(g) + 1e-6);
      EXPECT_NEAR(after.at(name)[i], expected, 1e-6) << name << " " << i;
      moved += g != 0;
    }
  }
  EXPECT_GT(moved, 100u);
}

TEST_F(CoreTeacher, LowersItsLosses) {
  const TeacherHandle teacher = opened(options());
  const double first = step(teacher, batch(1e-2)).total;
  for (int i = 0; i < 100; ++i) step(teacher, batch(1e-2));
  EXPECT_LT(step(teacher, batch(0)).total, first / 2);
}

TEST_F(CoreTeacher, TakesTheSameStepInMicroBatches) {
  clipn_teacher_options parts = options();
  parts.micro_batch = 1;
  const TeacherHandle whole = opened(options()), apart = opened(parts);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(step(whole, batch(1e-3)).total, step(apart, batch(1e-3)).total, 1e-5);
  }
  const auto expected = read(whole, CLIPN_TEACHER_MEAN), found = read(apart, CLIPN_TEACHER_MEAN);
  for (const auto& [name, values] : expected) {
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(found.at(name)[i], values[i], 1e-5) << name << " " << i;
  }
}

TEST_F(CoreTeacher, GoesOnFromItsWeightsAndMomentsToTheSameBits) {
  const TeacherHandle whole = opened(options());
  for (int i = 0; i < 3; ++i) step(whole, batch(1e-3));

  // What a checkpoint would hold, as one flat file.
  std::vector<clipn_tensor> tensors;
  std::deque<std::string> names;
  std::string bytes;
  for (const auto& [part, prefix] :
       {std::pair{CLIPN_TEACHER_WEIGHT, ""}, {CLIPN_TEACHER_MEAN, "exp_avg:"}, {CLIPN_TEACHER_SQUARE, "exp_avg_sq:"}}) {
    for (const auto& [name, values] : read(whole, part)) {
      clipn_tensor tensor = checkpoint.tensor(name);
      tensor.name = names.emplace_back(prefix + name).c_str();
      tensor.offset = bytes.size();
      bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      tensors.push_back(tensor);
    }
  }
  const std::string state = folder / "state.bin";
  std::ofstream(state, std::ios::binary) << bytes;
  clipn_teacher_options resumed = options();
  resumed.checkpoint = state.c_str();
  resumed.tensors = tensors.data();
  resumed.tensor_count = tensors.size();
  resumed.steps_taken = 3;
  const TeacherHandle second = opened(resumed);
  for (int i = 0; i < 3; ++i) {
    step(whole, batch(1e-3));
    step(second, batch(1e-3));
  }
  EXPECT_EQ(read(whole, CLIPN_TEACHER_WEIGHT), read(second, CLIPN_TEACHER_WEIGHT));
  EXPECT_EQ(read(whole, CLIPN_TEACHER_SQUARE), read(second, CLIPN_TEACHER_SQUARE));
}

TEST_F(CoreTeacher, BeginsWithPromptsOfZeroWhenThereAreNone) {
  checkpoint.tensor("prompt_no").name = "another";
  const TeacherHandle teacher = opened(options());
  constexpr size_t kCount = TinyCheckpoint::kPrompts * TinyCheckpoint::kContext * TinyCheckpoint::kWidth;
  std::vector<float> prompts(kCount, 1);
  ASSERT_EQ(clipn_teacher_read(teacher.get(), CLIPN_TEACHER_WEIGHT, "prompt_no", prompts.data(), kCount, nullptr),
            CLIPN_OK);
  EXPECT_EQ(prompts, std::vector<float>(kCount, 0));
}

TEST_F(CoreTeacher, ChangesNothingWhenALossIsNotFinite) {
  const TeacherHandle teacher = opened(options());
  const auto before = read(teacher, CLIPN_TEACHER_WEIGHT);
  image[5] = std::numeric_limits<float>::quiet_NaN();
  const clipn_teacher_losses losses = step(teacher, batch(1e-3));
  EXPECT_EQ(losses.finite, 0u);
  EXPECT_TRUE(std::isnan(losses.total));
  EXPECT_EQ(read(teacher, CLIPN_TEACHER_WEIGHT), before);
  image[5] = 0;
  EXPECT_EQ(step(teacher, batch(1e-3)).finite, 1u) << "goes on after it";
}

TEST_F(CoreTeacher, RefusesWhatDoesNotFit) {
  const TeacherHandle teacher = opened(options());
  clipn_teacher_batch one = batch(1e-3);
  one.n = 1;
  expect_refused("two samples", one, teacher);
  clipn_teacher_batch longer = batch(1e-3);
  longer.l = TinyCheckpoint::kContext + 1;
  expect_refused("context", longer, teacher);
  expect_refused("learning_rate", batch(std::numeric_limits<double>::quiet_NaN()), teacher);
  maps[1] = TinyCheckpoint::kPrompts + 1;
  expect_refused("prompt map", batch(1e-3), teacher);
  maps[1] = 0;
  ids[3] = TinyCheckpoint::kVocabulary;
  expect_refused("token id", batch(1e-3), teacher);
  float value = 0;
  clipn_error error;
  EXPECT_EQ(clipn_teacher_read(teacher.get(), CLIPN_TEACHER_WEIGHT, "visual.proj", &value, 1, &error),
            CLIPN_INVALID_ARG);
  EXPECT_EQ(clipn_teacher_read(teacher.get(), CLIPN_TEACHER_WEIGHT, "prompt_no", &value, 1, &error), CLIPN_INVALID_ARG);
}

TEST_F(CoreTeacher, OpensNothingThatIsNone) {
  const auto refused = [&](clipn_status status, const std::string& text,
                           const std::function<void(clipn_teacher_options&)>& spoil) {
    clipn_teacher_options spoilt = options();
    spoil(spoilt);
    clipn_teacher* teacher = nullptr;
    clipn_error error;
    EXPECT_EQ(clipn_teacher_open(&spoilt, &teacher, &error), status) << error.text;
    EXPECT_NE(std::string(error.text).find(text), std::string::npos) << "says: " << error.text;
    EXPECT_EQ(teacher, nullptr);
  };
  refused(CLIPN_INVALID_ARG, "precision", [](auto& o) { o.precision = CLIPN_FP16; });
  if (!at::hasCUDA()) refused(CLIPN_DEVICE_UNAVAILABLE, "no CUDA device", [](auto& o) { o.device = "cuda"; });
  refused(CLIPN_INVALID_ARG, "device tpu", [](auto& o) { o.device = "tpu"; });
  refused(CLIPN_CHECKPOINT, "prompt_no has shape", [](auto& o) { o.prompts = 16; });
  refused(CLIPN_IO, "cannot open", [](auto& o) { o.checkpoint = "/absent"; });
  checkpoint.tensor("ln_final_no.weight").name = "another";
  refused(CLIPN_CHECKPOINT, "no tensor ln_final_no.weight", [](auto&) {});
}

}  // namespace
}  // namespace clipn
