// core.h as a host sees it: a model from checkpoint to features, and what is refused on the way.
#include <clipn/core.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core_c11.h"
#include "pictures.h"
#include "tiny_checkpoint.h"

namespace clipn {
namespace {

void expect_refused(clipn_status expected, const std::string& text,
                    const std::function<clipn_status(clipn_error*)>& call) {
  clipn_error error = {"untouched"};
  EXPECT_EQ(call(&error), expected) << error.text;
  EXPECT_NE(std::string(error.text).find(text), std::string::npos) << "says: " << error.text;
  EXPECT_EQ(call(nullptr), expected) << "without a message buffer";
}

TEST(Core, IsC) {
  const size_t expected[] = {sizeof(clipn_error),           sizeof(clipn_core_info),
                             sizeof(clipn_lane_options),    sizeof(clipn_image),
                             sizeof(clipn_model_options),   sizeof(clipn_model_info),
                             sizeof(clipn_image_batch),     sizeof(clipn_score_input),
                             sizeof(clipn_score_output),    sizeof(clipn_tensor),
                             sizeof(clipn_architecture),    sizeof(clipn_export_options),
                             sizeof(clipn_teacher_options), sizeof(clipn_teacher_batch),
                             sizeof(clipn_teacher_losses),  sizeof(clipn_torchscript_options)};
  const size_t* sizes = nullptr;
  ASSERT_EQ(clipn_c11_sizes(&sizes), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(sizes[i], expected[i]) << i;
}

TEST(Core, RefusesNullArgumentsOfEveryFunction) { EXPECT_EQ(clipn_c11_refusals(), 18); }

TEST(Core, TakesStructsOfANewerCaller) {
  clipn_core_info info = {};
  info.size = sizeof(info) + 8;
  ASSERT_EQ(clipn_core_describe(&info, nullptr), CLIPN_OK);
  EXPECT_EQ(std::string(info.torch_version).substr(0, 2), "2.");
}

TEST(Core, CutsALongMessageAtTheEndOfItsBuffer) {
  const std::string path(5000, 'x');
  const clipn_model_options options = {sizeof(options), CLIPN_FP32};
  clipn_model* model = nullptr;
  clipn_error error;
  std::memset(&error, 'y', sizeof(error));
  EXPECT_EQ(clipn_model_open(path.c_str(), &options, &model, &error), CLIPN_MODEL_NOT_FOUND);
  EXPECT_EQ(std::strlen(error.text), sizeof(error.text) - 1);
}

TEST(Core, RunsPostedJobsOnALane) {
  const clipn_lane_options options = {sizeof(options), 1};
  clipn_lane* lane = nullptr;
  ASSERT_EQ(clipn_lane_create(&options, &lane, nullptr), CLIPN_OK);
  EXPECT_EQ(clipn_lane_post(lane, nullptr, nullptr, nullptr), CLIPN_INVALID_ARG);
  // The job that runs while the lane is destroyed may still post, and is refused.
  struct Context {
    clipn_lane* lane;
    clipn_status status;
  } context{lane, CLIPN_OK};
  const clipn_job job = [](void* data) {
    auto* self = static_cast<Context*>(data);
    do {
      self->status = clipn_lane_post(
          self->lane, [](void*) {}, nullptr, nullptr);
    } while (self->status == CLIPN_OK);
  };
  uint64_t ticket = 0;
  ASSERT_EQ(clipn_lane_post(lane, job, &context, &ticket), CLIPN_OK);
  while (clipn_lane_cancel(lane, ticket + 1) == 0) {  // until it runs: then its own posts are in the queue
  }
  clipn_lane_destroy(lane, nullptr);
  EXPECT_EQ(context.status, CLIPN_CLOSED);
}

struct CloseModel {
  void operator()(clipn_model* model) const { clipn_model_close(model); }
};
using ModelHandle = std::unique_ptr<clipn_model, CloseModel>;

class CoreModel : public testing::Test {
 protected:
  ModelHandle exported() {
    const clipn_export_options options = checkpoint.options(target);
    clipn_error error;
    EXPECT_EQ(clipn_export(&options, &error), CLIPN_OK) << error.text;
    return opened(CLIPN_FP32);
  }
  ModelHandle opened(clipn_precision precision, uint32_t image_only = 0) {
    const clipn_model_options options = {sizeof(options), precision, CLIPN_CPU, image_only};
    clipn_model* model = nullptr;
    clipn_error error;
    EXPECT_EQ(clipn_model_open(target.c_str(), &options, &model, &error), CLIPN_OK) << error.text;
    return ModelHandle(model);
  }
  void expect_export_refused(clipn_status status, const std::string& text) {
    const clipn_export_options options = checkpoint.options(target);
    expect_refused(status, text, [&](clipn_error* error) { return clipn_export(&options, error); });
  }

  TemporaryFolder folder;
  std::string target = folder / "model.pt";
  TinyCheckpoint checkpoint{folder / "checkpoint.bin"};
};

void expect_row(const float* actual, const std::vector<double>& expected, double tolerance) {
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], tolerance) << i;
}

TEST_F(CoreModel, TellsWhatTheExportStored) {
  const ModelHandle model = exported();
  clipn_model_info info = {};
  info.size = sizeof(info);
  ASSERT_EQ(clipn_model_describe(model.get(), &info, nullptr), CLIPN_OK);
  EXPECT_EQ(info.methods,
            CLIPN_ENCODE_IMAGE | CLIPN_ENCODE_IMAGE_PATCHES | CLIPN_ENCODE_TEXT_YES | CLIPN_ENCODE_TEXT_NO);
  EXPECT_STREQ(info.clipn_json, R"({"a":1})");
  EXPECT_STREQ(info.tokenizer_json, R"({"b":2})");
}

TEST_F(CoreModel, EncodesImagesAsTheFormulaSays) {
  for (const auto& [precision, tolerance] : {std::pair{CLIPN_FP32, 1e-5}, std::pair{CLIPN_BF16, 0.03}}) {
    exported();
    const ModelHandle model = opened(precision);
    const std::vector<uint8_t> pixels(2 * 4 * 4 * 3, 77);
    const clipn_image_batch batch = {sizeof(batch),      4,      pixels.data(), 2, {0.5F, 0.5F, 0.5F},
                                     {0.2F, 0.2F, 0.2F}, nullptr};
    std::vector<float> features(2 * 3);
    clipn_error error;
    ASSERT_EQ(clipn_encode_images(model.get(), &batch, 3, features.data(), &error), CLIPN_OK) << error.text;
    std::vector<double> x = checkpoint.row("visual.class_embedding", 0);
    const std::vector<double> position = checkpoint.row("visual.positional_embedding", 0);
    for (size_t i = 0; i < x.size(); ++i) x[i] += position[i];
    const auto expected =
        checkpoint.projected(TinyCheckpoint::layer_norm(TinyCheckpoint::layer_norm(x)), "visual.proj");
    expect_row(features.data(), expected, tolerance);
    expect_row(features.data() + 3, expected, tolerance);
  }
}

TEST_F(CoreModel, EncodesPatchesAsTheFormulaSays) {
  const ModelHandle model = exported();
  const std::vector<uint8_t> pixels(2 * 4 * 4 * 3, 77);
  const clipn_image_batch batch = {sizeof(batch), 4, pixels.data(), 2, {0.5F, 0.5F, 0.5F}, {0.2F, 0.2F, 0.2F}, nullptr};
  constexpr int64_t kPatches = 4;
  std::vector<float> alone(2 * 3), features(2 * 3), patches(2 * kPatches * 3);
  ASSERT_EQ(clipn_encode_images(model.get(), &batch, 3, alone.data(), nullptr), CLIPN_OK);
  ASSERT_EQ(clipn_encode_image_patches(model.get(), &batch, 3, kPatches, features.data(), patches.data(), nullptr),
            CLIPN_OK);
  for (size_t i = 0; i < features.size(); ++i) EXPECT_NEAR(features[i], alone[i], 1e-6);
  const double level = (77.0 / 255 - 0.5) / 0.2;  // of every pixel, so that a patch is `level` times its filter's sum
  for (int64_t patch = 0; patch < kPatches; ++patch) {
    std::vector<double> x = checkpoint.row("visual.positional_embedding", 1 + patch);
    for (int64_t channel = 0; channel < TinyCheckpoint::kWidth; ++channel) {
      for (int64_t part = 0; part < 3; ++part) {
        for (const double weight : checkpoint.row("visual.conv1.weight", 3 * channel + part)) {
          x[channel] += level * weight;
        }
      }
    }
    const auto expected =
        checkpoint.projected(TinyCheckpoint::layer_norm(TinyCheckpoint::layer_norm(x)), "visual.proj");
    expect_row(patches.data() + 3 * patch, expected, 1e-5);
    expect_row(patches.data() + 3 * (kPatches + patch), expected, 1e-5);
  }
  expect_refused(CLIPN_MODEL_CONTRACT, "patches of shape [2, 4, 3], expected [2, 5, 3]", [&](clipn_error* error) {
    return clipn_encode_image_patches(model.get(), &batch, 3, 5, features.data(), patches.data(), error);
  });
}

TEST_F(CoreModel, ResizesImagesAsPreprocessDoes) {
  const ModelHandle model = exported();
  const std::vector<uint8_t> wide = picture(9, 6, 3, 27), grey = picture(5, 7, 1, 5);
  const clipn_image images[] = {{wide.data(), 9, 6, 3, 27}, {grey.data(), 5, 7, 1, 5}};
  std::vector<uint8_t> pixels(2 * 4 * 4 * 3);
  for (size_t i = 0; i < 2; ++i) ASSERT_EQ(clipn_preprocess(&images[i], 4, &pixels[i * 48], nullptr), CLIPN_OK);
  const auto patches = [&](const uint8_t* resized, const clipn_image* whole) {
    const clipn_image_batch batch = {sizeof(batch), 4, resized, 2, {0.5F, 0.5F, 0.5F}, {0.2F, 0.2F, 0.2F}, whole};
    std::vector<float> features(2 * 3), out(2 * 4 * 3);
    EXPECT_EQ(clipn_encode_image_patches(model.get(), &batch, 3, 4, features.data(), out.data(), nullptr), CLIPN_OK);
    return out;
  };
  EXPECT_EQ(patches(nullptr, images), patches(pixels.data(), nullptr));
}

TEST_F(CoreModel, EncodesTextAsTheFormulaSays) {
  const ModelHandle model = exported();
  const std::vector<int64_t> ids = {1, 6, 0, 0, 0, 5, 2, 3, 6, 0};  // 6, the largest id, ends each text
  const std::vector<int64_t> ends = {1, 3};
  for (const bool yes : {true, false}) {
    std::vector<float> features(2 * 3);
    ASSERT_EQ(clipn_encode_text(model.get(), yes ? CLIPN_TEXT_YES : CLIPN_TEXT_NO, ids.data(), 2, 5, 3, features.data(),
                                nullptr),
              CLIPN_OK);
    const std::string no = yes ? "" : "_no";
    for (size_t text = 0; text < 2; ++text) {
      std::vector<double> x = checkpoint.row("token_embedding" + no + ".weight", 6);
      const std::vector<double> position = checkpoint.row("positional_embedding" + no, ends[text]);
      const std::vector<double> first = checkpoint.row("prompt_no", ends[text]);
      const std::vector<double> second = checkpoint.row("prompt_no", TinyCheckpoint::kContext + ends[text]);
      for (size_t i = 0; i < x.size(); ++i) x[i] += position[i] + (yes ? 0 : (first[i] + second[i]) / 2);
      expect_row(features.data() + 3 * text,
                 checkpoint.projected(TinyCheckpoint::layer_norm(x), "text_projection" + no), 1e-5);
    }
  }
}

TEST_F(CoreModel, RefusesInputsThatDoNotFit) {
  const ModelHandle model = exported();
  std::vector<uint8_t> pixels(4 * 4 * 3);
  std::vector<float> features(16);
  clipn_image_batch batch = {sizeof(batch), 4, pixels.data(), 1, {}, {1, 1, 1}, nullptr};
  const auto encode = [&](int64_t d) {
    return [&, d](clipn_error* error) { return clipn_encode_images(model.get(), &batch, d, features.data(), error); };
  };
  expect_refused(CLIPN_MODEL_CONTRACT, "encode_image returned shape [1, 3], expected [1, 4]", encode(4));
  batch.n = 0;
  expect_refused(CLIPN_INVALID_ARG, "n >= 1", encode(3));
  batch.n = 1;
  const clipn_image image = {pixels.data(), 4, 4, 3, 11};
  batch.images = &image;
  batch.pixels = nullptr;
  expect_refused(CLIPN_INVALID_ARG, "a stride of 11 bytes", encode(3));

  const int64_t id = 1;
  expect_refused(CLIPN_INVALID_ARG, "n >= 1", [&](clipn_error* error) {
    return clipn_encode_text(model.get(), CLIPN_TEXT_YES, &id, 0, 1, 3, features.data(), error);
  });
}

TEST_F(CoreModel, OpensNoFileThatIsNone) {
  const clipn_model_options options = {sizeof(options), CLIPN_FP32};
  clipn_model* model = nullptr;
  const auto open = [&](const std::string& path) {
    return [&, path](clipn_error* error) { return clipn_model_open(path.c_str(), &options, &model, error); };
  };
  expect_refused(CLIPN_MODEL_NOT_FOUND, "no model file at", open(folder / "absent.pt"));
  expect_refused(CLIPN_MODEL_FORMAT, "is not a model file", open(folder / "checkpoint.bin"));
  EXPECT_EQ(model, nullptr);
}

TEST_F(CoreModel, OpensInNoPrecisionButFp32AndBf16) {
  exported();
  const clipn_model_options options = {sizeof(options), CLIPN_FP16};
  clipn_model* model = nullptr;
  expect_refused(CLIPN_INVALID_ARG, "precision",
                 [&](clipn_error* error) { return clipn_model_open(target.c_str(), &options, &model, error); });
}

TEST_F(CoreModel, LeavesOutTheTextTowersOnWish) {
  clipn_export_options options = checkpoint.options(target);
  options.image_only = 1;
  options.tokenizer_json = "";
  ASSERT_EQ(clipn_export(&options, nullptr), CLIPN_OK);
  const ModelHandle model = opened(CLIPN_FP32);
  clipn_model_info info = {};
  info.size = sizeof(info);
  ASSERT_EQ(clipn_model_describe(model.get(), &info, nullptr), CLIPN_OK);
  EXPECT_EQ(info.methods, CLIPN_ENCODE_IMAGE | CLIPN_ENCODE_IMAGE_PATCHES);
  EXPECT_STREQ(info.tokenizer_json, "");
  const int64_t id = 1;
  float features[3];
  expect_refused(CLIPN_MODEL_CONTRACT, "no method encode_text_yes", [&](clipn_error* error) {
    return clipn_encode_text(model.get(), CLIPN_TEXT_YES, &id, 1, 1, 3, features, error);
  });
}

// This model is too small to be rewritten: it runs as the file has it.
TEST_F(CoreModel, EncodesTextInFp32WhateverTheImagesPrecision) {
  const ModelHandle exact = exported(), model = opened(CLIPN_BF16);
  const int64_t ids[] = {1, 2, 4, 0, 0, 2, 3, 1, 4, 0};
  for (const clipn_tower tower : {CLIPN_TEXT_YES, CLIPN_TEXT_NO}) {
    float expected[2 * 3], actual[2 * 3];
    ASSERT_EQ(clipn_encode_text(exact.get(), tower, ids, 2, 5, 3, expected, nullptr), CLIPN_OK);
    ASSERT_EQ(clipn_encode_text(model.get(), tower, ids, 2, 5, 3, actual, nullptr), CLIPN_OK);
    EXPECT_EQ(std::memcmp(actual, expected, sizeof(expected)), 0);
  }
}

TEST_F(CoreModel, OpensTheImageTowerAloneOnWish) {
  exported();
  for (const clipn_precision precision : {CLIPN_FP32, CLIPN_BF16}) {
    const ModelHandle model = opened(precision, 1);
    clipn_model_info info = {};
    info.size = sizeof(info);
    ASSERT_EQ(clipn_model_describe(model.get(), &info, nullptr), CLIPN_OK);
    EXPECT_EQ(info.methods, CLIPN_ENCODE_IMAGE | CLIPN_ENCODE_IMAGE_PATCHES);
    const int64_t id = 1;
    float features[3];
    expect_refused(CLIPN_MODEL_CONTRACT, "no method encode_text_yes", [&](clipn_error* error) {
      return clipn_encode_text(model.get(), CLIPN_TEXT_YES, &id, 1, 1, 3, features, error);
    });
  }
}

TEST_F(CoreModel, ExportsNoTensorThatIsMissingMisshapenOrOutsideTheFile) {
  clipn_tensor& tensor = checkpoint.tensor("visual.proj");
  const clipn_tensor whole = tensor;
  tensor.name = "visual.other";
  expect_export_refused(CLIPN_CHECKPOINT, "no tensor visual.proj");

  tensor = whole;
  const int64_t turned[] = {3, 4};
  tensor.shape = turned;
  expect_export_refused(CLIPN_CHECKPOINT, "visual.proj has shape [3, 4], expected [4, 3]");

  tensor = whole;
  tensor.dtype = "int8";
  expect_export_refused(CLIPN_CHECKPOINT, "visual.proj has dtype int8");

  tensor = whole;
  for (const uint64_t offset : {uint64_t{1} << 40, std::numeric_limits<uint64_t>::max()}) {
    tensor.offset = offset;
    expect_export_refused(CLIPN_CHECKPOINT, "visual.proj reaches outside");
  }

  tensor = whole;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const auto& [rows, columns] : {std::pair{int64_t{-1}, int64_t{1}},
                                      {int64_t{1000}, int64_t{1}},
                                      {int64_t{1}, (kMost - 3) / 2},
                                      {kMost / 2, kMost / 2},
                                      {kMost, kMost}}) {
    const int64_t stride[] = {rows, columns};
    tensor.stride = stride;
    expect_export_refused(CLIPN_CHECKPOINT, "visual.proj reaches outside");
  }
}

TEST_F(CoreModel, ExportsTensorsThatAreTransposedOrUnaligned) {
  // The same values, read column by column from a file that is shifted by one byte.
  std::string bytes;
  {
    std::ifstream file(folder / "checkpoint.bin", std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  clipn_tensor& tensor = checkpoint.tensor("visual.proj");
  std::string turned(bytes.substr(tensor.offset, 4 * 3 * 4));
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 3; ++j) turned.replace((j * 4 + i) * 4, 4, bytes, tensor.offset + (i * 3 + j) * 4, 4);
  }
  bytes.replace(tensor.offset, turned.size(), turned);
  std::ofstream(folder / "checkpoint.bin", std::ios::binary) << '!' << bytes;
  for (clipn_tensor& each : checkpoint.tensors) ++each.offset;
  const int64_t stride[] = {1, 4};
  tensor.stride = stride;

  const ModelHandle model = exported();
  const std::vector<uint8_t> pixels(4 * 4 * 3);
  const clipn_image_batch batch = {sizeof(batch), 4, pixels.data(), 1, {}, {1, 1, 1}, nullptr};
  float features[3];
  ASSERT_EQ(clipn_encode_images(model.get(), &batch, 3, features, nullptr), CLIPN_OK);
  for (clipn_tensor& each : checkpoint.tensors) --each.offset;
  std::vector<double> x = checkpoint.row("visual.class_embedding", 0);
  const std::vector<double> position = checkpoint.row("visual.positional_embedding", 0);
  for (size_t i = 0; i < x.size(); ++i) x[i] += position[i];
  expect_row(features, checkpoint.projected(TinyCheckpoint::layer_norm(TinyCheckpoint::layer_norm(x)), "visual.proj"),
             1e-5);
}

TEST_F(CoreModel, ExportRefusesSizesAndTypesThatAreNone) {
  const clipn_export_options whole = checkpoint.options(target);
  const auto expect = [&](const std::string& text, const std::function<void(clipn_export_options&)>& spoil) {
    clipn_export_options options = whole;
    spoil(options);
    expect_refused(CLIPN_INVALID_ARG, text, [&](clipn_error* error) { return clipn_export(&options, error); });
  };
  expect("dtype 7", [](auto& options) {
    const int unknown = 7;
    std::memcpy(&options.dtype, &unknown, sizeof(unknown));
  });
  checkpoint.architecture.patch_size = 3;
  expect("no multiple of the patch size 3", [](auto&) {});
  checkpoint.architecture.patch_size = 0;
  expect("no multiple of the patch size 0", [](auto&) {});
  checkpoint.architecture.patch_size = 2;
  checkpoint.architecture.text_heads = 0;
  expect("number of heads", [](auto&) {});
  checkpoint.architecture.text_heads = 2;
  checkpoint.architecture.vision_mlp = 0;
  expect("MLP has no width", [](auto&) {});
}

TEST_F(CoreModel, ExportNamesTheFileItCannotReadOrWrite) {
  clipn_export_options options = checkpoint.options(target);
  const std::string absent = folder / "absent/file";
  options.target = absent.c_str();
  expect_refused(CLIPN_IO, "cannot write " + absent, [&](clipn_error* error) { return clipn_export(&options, error); });
  options.checkpoint = absent.c_str();
  expect_refused(CLIPN_IO, "cannot open " + absent, [&](clipn_error* error) { return clipn_export(&options, error); });
}

TEST_F(CoreModel, ADiskThatIsFullIsAnErrorOfTheExport) {
  std::filesystem::create_symlink("/dev/full", target);
  expect_export_refused(CLIPN_IO, "cannot write " + target + ": No space left on device");
}

}  // namespace
}  // namespace clipn
