// What each function of core.h says of an argument that is null, or a struct of an older caller: which function, which
// argument, and what is wrong with it.
#include <clipn/core.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tiny_checkpoint.h"

namespace clipn {
namespace {

using Call = std::function<clipn_status(clipn_error*)>;

void expect_said(const std::string& text, const Call& call) {
  clipn_error error = {"untouched"};
  EXPECT_EQ(call(&error), CLIPN_INVALID_ARG) << text;
  EXPECT_EQ(error.text, text);
  EXPECT_EQ(call(nullptr), CLIPN_INVALID_ARG) << "without a message buffer: " << text;
}

template <typename Struct>
Struct sized() {
  Struct out = {};
  out.size = sizeof(out);
  return out;
}

/// What is said of a struct that is one byte short, and the struct.
template <typename Struct>
std::string short_of(const std::string& argument) {
  return argument + "->size is " + std::to_string(sizeof(Struct) - 1) + ", less than " + std::to_string(sizeof(Struct));
}
template <typename Struct>
Struct shortened(Struct whole) {
  whole.size -= 1;
  return whole;
}

TEST(CoreArguments, OfCoreDescribe) {
  expect_said("clipn_core_describe: out is null", [](clipn_error* e) { return clipn_core_describe(nullptr, e); });
  auto out = shortened(sized<clipn_core_info>());
  expect_said(short_of<clipn_core_info>("clipn_core_describe: out"),
              [&](clipn_error* e) { return clipn_core_describe(&out, e); });
}

TEST(CoreArguments, OfInt8Absence) {
  expect_said("clipn_int8_absence: out is null", [](clipn_error* e) { return clipn_int8_absence(nullptr, e); });
}

TEST(CoreArguments, OfLaneCreate) {
  const auto options = sized<clipn_lane_options>(), older = shortened(options);
  clipn_lane* lane = nullptr;
  expect_said("clipn_lane_create: options is null",
              [&](clipn_error* e) { return clipn_lane_create(nullptr, &lane, e); });
  expect_said(short_of<clipn_lane_options>("clipn_lane_create: options"),
              [&](clipn_error* e) { return clipn_lane_create(&older, &lane, e); });
  expect_said("clipn_lane_create: out is null",
              [&](clipn_error* e) { return clipn_lane_create(&options, nullptr, e); });
  auto crowded = options;
  crowded.threads = 1025;
  expect_said("clipn_lane_create: options->threads is 1025, more than 1024",
              [&](clipn_error* e) { return clipn_lane_create(&crowded, &lane, e); });
  EXPECT_EQ(lane, nullptr);
}

TEST(CoreArguments, OfPreprocess) {
  const uint8_t grey = 0;
  uint8_t out[3];
  const clipn_image image = {&grey, 1, 1, 1, 1};
  expect_said("clipn_preprocess: image is null", [&](clipn_error* e) { return clipn_preprocess(nullptr, 1, out, e); });
  expect_said("clipn_preprocess: out is null", [&](clipn_error* e) { return clipn_preprocess(&image, 1, nullptr, e); });
}

TEST(CoreArguments, OfCudaOpen) {
  expect_said("clipn_cuda_open: out is null", [](clipn_error* e) { return clipn_cuda_open(nullptr, nullptr, e); });
  auto out = shortened(sized<clipn_cuda_info>());
  expect_said(short_of<clipn_cuda_info>("clipn_cuda_open: out"),
              [&](clipn_error* e) { return clipn_cuda_open(nullptr, &out, e); });
}

TEST(CoreArguments, OfScore) {
  const auto input = sized<clipn_score_input>(), older_input = shortened(input);
  const auto output = sized<clipn_score_output>(), older_output = shortened(output);
  expect_said("clipn_score: input is null", [&](clipn_error* e) { return clipn_score(nullptr, &output, e); });
  expect_said(short_of<clipn_score_input>("clipn_score: input"),
              [&](clipn_error* e) { return clipn_score(&older_input, &output, e); });
  expect_said("clipn_score: output is null", [&](clipn_error* e) { return clipn_score(&input, nullptr, e); });
  expect_said(short_of<clipn_score_output>("clipn_score: output"),
              [&](clipn_error* e) { return clipn_score(&input, &older_output, e); });
  auto elsewhere = input;
  elsewhere.device = static_cast<clipn_device>(3);
  expect_said("clipn_score: input->device is 3, which is no device",
              [&](clipn_error* e) { return clipn_score(&elsewhere, &output, e); });
}

class CoreModelArguments : public testing::Test {
 protected:
  void SetUp() override {
    const clipn_export_options exporting = checkpoint.options(target);
    ASSERT_EQ(clipn_export(&exporting, nullptr), CLIPN_OK);
    const auto options = sized<clipn_model_options>();
    clipn_model* opened = nullptr;
    ASSERT_EQ(clipn_model_open(target.c_str(), &options, &opened, nullptr), CLIPN_OK);
    model.reset(opened);
  }

  /// What every call with a batch of images says of that batch.
  void expect_batch_checked(const std::string& function,
                            const std::function<clipn_status(const clipn_image_batch*, clipn_error*)>& encode) const {
    const auto said_of = [&](const clipn_image_batch* spoilt, const std::string& text) {
      expect_said(function + ": " + text, [&](clipn_error* e) { return encode(spoilt, e); });
    };
    said_of(nullptr, "batch is null");
    const auto older = shortened(batch);
    said_of(&older, short_of<clipn_image_batch>("batch"));
    const clipn_image image = {pixels.data(), 4, 4, 3, 12};
    auto both = batch;
    both.images = &image;
    said_of(&both, "batch has both pixels and images");
    auto neither = batch;
    neither.pixels = nullptr;
    said_of(&neither, "batch has neither pixels nor images");
  }

  struct Close {
    void operator()(clipn_model* model) const { clipn_model_close(model); }
  };
  TemporaryFolder folder;
  std::string target = folder / "model.pt";
  TinyCheckpoint checkpoint{folder / "checkpoint.bin"};
  std::unique_ptr<clipn_model, Close> model;
  std::vector<uint8_t> pixels = std::vector<uint8_t>(4 * 4 * 3);
  clipn_image_batch batch = {sizeof(batch), 4, pixels.data(), 1, {}, {1, 1, 1}, nullptr};
  float features[3] = {}, patches[4 * 3] = {};
};

TEST_F(CoreModelArguments, OfModelOpen) {
  const auto options = sized<clipn_model_options>(), older = shortened(options);
  const char* path = target.c_str();
  clipn_model* out = nullptr;
  expect_said("clipn_model_open: path is null",
              [&](clipn_error* e) { return clipn_model_open(nullptr, &options, &out, e); });
  expect_said("clipn_model_open: options is null",
              [&](clipn_error* e) { return clipn_model_open(path, nullptr, &out, e); });
  expect_said(short_of<clipn_model_options>("clipn_model_open: options"),
              [&](clipn_error* e) { return clipn_model_open(path, &older, &out, e); });
  expect_said("clipn_model_open: out is null",
              [&](clipn_error* e) { return clipn_model_open(path, &options, nullptr, e); });
  auto elsewhere = options;
  elsewhere.device = static_cast<clipn_device>(2);
  expect_said("clipn_model_open: options->device is 2, which is no device",
              [&](clipn_error* e) { return clipn_model_open(path, &elsewhere, &out, e); });
  EXPECT_EQ(out, nullptr);
}

TEST_F(CoreModelArguments, OfModelDescribe) {
  auto out = sized<clipn_model_info>(), older = shortened(out);
  expect_said("clipn_model_describe: model is null",
              [&](clipn_error* e) { return clipn_model_describe(nullptr, &out, e); });
  expect_said("clipn_model_describe: out is null",
              [&](clipn_error* e) { return clipn_model_describe(model.get(), nullptr, e); });
  expect_said(short_of<clipn_model_info>("clipn_model_describe: out"),
              [&](clipn_error* e) { return clipn_model_describe(model.get(), &older, e); });
}

TEST_F(CoreModelArguments, OfEncodeImages) {
  expect_said("clipn_encode_images: model is null",
              [&](clipn_error* e) { return clipn_encode_images(nullptr, &batch, 3, features, e); });
  expect_batch_checked("clipn_encode_images", [&](const clipn_image_batch* spoilt, clipn_error* e) {
    return clipn_encode_images(model.get(), spoilt, 3, features, e);
  });
  expect_said("clipn_encode_images: features is null",
              [&](clipn_error* e) { return clipn_encode_images(model.get(), &batch, 3, nullptr, e); });
}

TEST_F(CoreModelArguments, OfEncodeImagePatches) {
  const auto encode = [this](clipn_model* from, const clipn_image_batch* images, float* rows, float* local) {
    return [=](clipn_error* e) { return clipn_encode_image_patches(from, images, 3, 4, rows, local, e); };
  };
  expect_said("clipn_encode_image_patches: model is null", encode(nullptr, &batch, features, patches));
  expect_batch_checked("clipn_encode_image_patches", [&](const clipn_image_batch* spoilt, clipn_error* e) {
    return encode(model.get(), spoilt, features, patches)(e);
  });
  expect_said("clipn_encode_image_patches: features is null", encode(model.get(), &batch, nullptr, patches));
  expect_said("clipn_encode_image_patches: patches is null", encode(model.get(), &batch, features, nullptr));
}

TEST_F(CoreModelArguments, OfEncodeImageContributions) {
  const auto encode = [this](clipn_model* from, const clipn_image_batch* images, float* rows, float* parts) {
    return [=](clipn_error* e) { return clipn_encode_image_contributions(from, images, 3, 4, rows, parts, e); };
  };
  expect_said("clipn_encode_image_contributions: model is null", encode(nullptr, &batch, features, patches));
  expect_batch_checked("clipn_encode_image_contributions", [&](const clipn_image_batch* spoilt, clipn_error* e) {
    return encode(model.get(), spoilt, features, patches)(e);
  });
  expect_said("clipn_encode_image_contributions: features is null", encode(model.get(), &batch, nullptr, patches));
  expect_said("clipn_encode_image_contributions: contributions is null",
              encode(model.get(), &batch, features, nullptr));
}

TEST_F(CoreModelArguments, OfEncodeText) {
  const int64_t id = 1;
  const auto encode = [](clipn_model* from, int tower, const int64_t* ids, float* rows) {
    return
        [=](clipn_error* e) { return clipn_encode_text(from, static_cast<clipn_tower>(tower), ids, 1, 1, 3, rows, e); };
  };
  expect_said("clipn_encode_text: model is null", encode(nullptr, CLIPN_TEXT_YES, &id, features));
  expect_said("clipn_encode_text: tower is 2, which is no tower", encode(model.get(), 2, &id, features));
  expect_said("clipn_encode_text: ids is null", encode(model.get(), CLIPN_TEXT_YES, nullptr, features));
  expect_said("clipn_encode_text: features is null", encode(model.get(), CLIPN_TEXT_YES, &id, nullptr));
}

TEST_F(CoreModelArguments, OfRunImageLinears) {
  expect_said("clipn_run_image_linears: model is null",
              [](clipn_error* e) { return clipn_run_image_linears(nullptr, 1, e); });
}

TEST_F(CoreModelArguments, OfExport) {
  const clipn_export_options whole = checkpoint.options(target);
  const auto said = [&](const std::string& text, const std::function<void(clipn_export_options&)>& spoil) {
    clipn_export_options options = whole;
    spoil(options);
    expect_said(text, [&](clipn_error* e) { return clipn_export(&options, e); });
  };
  expect_said("clipn_export: options is null", [](clipn_error* e) { return clipn_export(nullptr, e); });
  said(short_of<clipn_export_options>("clipn_export: options"), [](auto& o) { o.size -= 1; });
  said("clipn_export: options->checkpoint is null", [](auto& o) { o.checkpoint = nullptr; });
  said("clipn_export: options->target is null", [](auto& o) { o.target = nullptr; });
  said("clipn_export: options->tensors is null", [](auto& o) { o.tensors = nullptr; });
  const auto said_of_tensor = [&](const std::string& text, const std::function<void(clipn_tensor&)>& spoil) {
    std::vector<clipn_tensor> tensors = checkpoint.tensors;
    spoil(tensors[1]);
    said("clipn_export: options->tensors[1]." + text, [&](auto& o) { o.tensors = tensors.data(); });
  };
  said_of_tensor("name is null", [](auto& tensor) { tensor.name = nullptr; });
  said_of_tensor("dtype is null", [](auto& tensor) { tensor.dtype = nullptr; });
  said_of_tensor("shape is null", [](auto& tensor) { tensor.shape = nullptr; });
  said_of_tensor("stride is null", [](auto& tensor) { tensor.stride = nullptr; });
  said_of_tensor("rank is 65", [](auto& tensor) { tensor.rank = 65; });
  said("clipn_export: options->clipn_json is null", [](auto& o) { o.clipn_json = nullptr; });
  said("clipn_export: options->architecture is null", [](auto& o) { o.architecture = nullptr; });
  const clipn_architecture older = shortened(checkpoint.architecture);
  said(short_of<clipn_architecture>("clipn_export: options->architecture"), [&](auto& o) { o.architecture = &older; });
}

TEST_F(CoreModelArguments, OfExportTorchScript) {
  const std::vector<float> rows(TinyCheckpoint::kEmbed, 0.5F);
  const std::string out = folder / "forward.pt";
  const auto said = [&](
                        const std::string& text, const std::function<void(clipn_torchscript_options&)>& spoil,
                        const std::function<void(clipn_score_input&)>& spoil_bank = [](auto&) {}) {
    auto bank = sized<clipn_score_input>();
    bank.scale = 100;
    bank.bank_yes = rows.data();
    bank.c = 1;
    bank.d = TinyCheckpoint::kEmbed;
    spoil_bank(bank);
    auto options = sized<clipn_torchscript_options>();
    options.model = target.c_str();
    options.target = out.c_str();
    options.bank = &bank;
    options.side = TinyCheckpoint::kSide;
    spoil(options);
    expect_said(text, [&](clipn_error* e) { return clipn_export_torchscript(&options, e); });
  };
  const auto said_of_bank = [&](const std::string& text, const std::function<void(clipn_score_input&)>& spoil) {
    said(
        text, [](auto&) {}, spoil);
  };
  expect_said("clipn_export_torchscript: options is null",
              [](clipn_error* e) { return clipn_export_torchscript(nullptr, e); });
  said(short_of<clipn_torchscript_options>("clipn_export_torchscript: options"), [](auto& o) { o.size -= 1; });
  said("clipn_export_torchscript: options->model is null", [](auto& o) { o.model = nullptr; });
  said("clipn_export_torchscript: options->target is null", [](auto& o) { o.target = nullptr; });
  said("clipn_export_torchscript: options->bank is null", [](auto& o) { o.bank = nullptr; });
  said("an image of side 0 is none, or too large", [](auto& o) { o.side = 0; });
  said_of_bank(short_of<clipn_score_input>("clipn_export_torchscript: options->bank"), [](auto& b) { b.size -= 1; });
  said_of_bank("clipn_export_torchscript: options->bank->bank_yes is null", [](auto& b) { b.bank_yes = nullptr; });
  said_of_bank("score: scale must be a positive number", [](auto& b) { b.scale = 0; });
  said_of_bank("score: c must be in 1..2147483647", [](auto& b) { b.c = 0; });
  said_of_bank("score: groups must be in 1..w, or 0 without words", [](auto& b) { b.groups = 1; });
}

class CoreTeacherArguments : public testing::Test {
 protected:
  clipn_teacher_options options() const {
    auto out = sized<clipn_teacher_options>();
    out.checkpoint = path.c_str();
    out.tensors = checkpoint.tensors.data();
    out.tensor_count = checkpoint.tensors.size();
    out.architecture = &checkpoint.architecture;
    out.device = "cpu";
    out.prompts = TinyCheckpoint::kPrompts;
    out.scale = 20;
    return out;
  }
  void SetUp() override {
    const clipn_teacher_options whole = options();
    clipn_teacher* opened = nullptr;
    ASSERT_EQ(clipn_teacher_open(&whole, &opened, nullptr), CLIPN_OK);
    teacher.reset(opened);
  }

  struct Close {
    void operator()(clipn_teacher* teacher) const { clipn_teacher_close(teacher); }
  };
  TemporaryFolder folder;
  std::string path = folder / "checkpoint.bin";
  TinyCheckpoint checkpoint{path};
  std::unique_ptr<clipn_teacher, Close> teacher;
};

TEST_F(CoreTeacherArguments, OfTeacherOpen) {
  clipn_teacher* out = nullptr;
  const auto said = [&](const std::string& text, const std::function<void(clipn_teacher_options&)>& spoil) {
    clipn_teacher_options spoilt = options();
    spoil(spoilt);
    expect_said(text, [&](clipn_error* e) { return clipn_teacher_open(&spoilt, &out, e); });
  };
  expect_said("clipn_teacher_open: options is null",
              [&](clipn_error* e) { return clipn_teacher_open(nullptr, &out, e); });
  said(short_of<clipn_teacher_options>("clipn_teacher_open: options"), [](auto& o) { o.size -= 1; });
  said("clipn_teacher_open: options->checkpoint is null", [](auto& o) { o.checkpoint = nullptr; });
  said("clipn_teacher_open: options->tensors is null", [](auto& o) { o.tensors = nullptr; });
  said("clipn_teacher_open: options->device is null", [](auto& o) { o.device = nullptr; });
  said("clipn_teacher_open: options->architecture is null", [](auto& o) { o.architecture = nullptr; });
  const clipn_architecture older = shortened(checkpoint.architecture);
  said(short_of<clipn_architecture>("clipn_teacher_open: options->architecture"),
       [&](auto& o) { o.architecture = &older; });
  const clipn_teacher_options whole = options();
  expect_said("clipn_teacher_open: out is null",
              [&](clipn_error* e) { return clipn_teacher_open(&whole, nullptr, e); });
  EXPECT_EQ(out, nullptr);
}

TEST_F(CoreTeacherArguments, OfTeacherStep) {
  const std::vector<float> rows(2 * TinyCheckpoint::kEmbed);
  const int64_t integers[2] = {};
  auto batch = sized<clipn_teacher_batch>();
  batch.n = 2;
  batch.l = 1;
  batch.image = batch.yes = rows.data();
  batch.ids = batch.maps = integers;
  auto losses = sized<clipn_teacher_losses>(), older_losses = shortened(losses);
  const auto said = [&](const std::string& text, const std::function<void(clipn_teacher_batch&)>& spoil) {
    clipn_teacher_batch spoilt = batch;
    spoil(spoilt);
    expect_said(text, [&](clipn_error* e) { return clipn_teacher_step(teacher.get(), &spoilt, &losses, e); });
  };
  expect_said("clipn_teacher_step: teacher is null",
              [&](clipn_error* e) { return clipn_teacher_step(nullptr, &batch, &losses, e); });
  expect_said("clipn_teacher_step: batch is null",
              [&](clipn_error* e) { return clipn_teacher_step(teacher.get(), nullptr, &losses, e); });
  said(short_of<clipn_teacher_batch>("clipn_teacher_step: batch"), [](auto& b) { b.size -= 1; });
  said("clipn_teacher_step: batch->image is null", [](auto& b) { b.image = nullptr; });
  said("clipn_teacher_step: batch->yes is null", [](auto& b) { b.yes = nullptr; });
  said("clipn_teacher_step: batch->ids is null", [](auto& b) { b.ids = nullptr; });
  said("clipn_teacher_step: batch->maps is null", [](auto& b) { b.maps = nullptr; });
  expect_said("clipn_teacher_step: losses is null",
              [&](clipn_error* e) { return clipn_teacher_step(teacher.get(), &batch, nullptr, e); });
  expect_said(short_of<clipn_teacher_losses>("clipn_teacher_step: losses"),
              [&](clipn_error* e) { return clipn_teacher_step(teacher.get(), &batch, &older_losses, e); });
}

TEST_F(CoreTeacherArguments, OfTeacherRead) {
  float out = 0;
  const auto read = [](const clipn_teacher* from, const char* name, float* to) {
    return [=](clipn_error* e) { return clipn_teacher_read(from, CLIPN_TEACHER_WEIGHT, name, to, 1, e); };
  };
  expect_said("clipn_teacher_read: teacher is null", read(nullptr, "prompt_no", &out));
  expect_said("clipn_teacher_read: name is null", read(teacher.get(), nullptr, &out));
  expect_said("clipn_teacher_read: out is null", read(teacher.get(), "prompt_no", nullptr));
}

}  // namespace
}  // namespace clipn
