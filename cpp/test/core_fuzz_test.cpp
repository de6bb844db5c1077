// Random arguments for every function of core.h: whatever it is given, it answers with a status and, where that is not
// OK, one line of text. What a caller must know is kept: a pointer is null or has as many elements as the sizes beside
// it say, unless no process could have that many.
//
// CLIPN_FUZZ_RUNS calls a test (default 100; of those that take long a quarter) from CLIPN_FUZZ_SEED (default 1):
// npm run fuzz -- --only core
#include <clipn/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tiny_checkpoint.h"

namespace clipn {
namespace {

uint64_t from_environment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

class CoreFuzz : public testing::Test {
 protected:
  // The same on every machine: the standard leaves no choice to the engine, but to distributions.
  std::mt19937_64 engine{from_environment("CLIPN_FUZZ_SEED", 1)};
  uint64_t runs = from_environment("CLIPN_FUZZ_RUNS", 100);

  uint64_t below(uint64_t count) { return engine() % count; }
  int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(below(high - low + 1)); }
  /// True once in `count` times.
  bool rarely(uint64_t count = 12) { return below(count) == 0; }
  template <typename T>
  T any(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }

  /// Mostly `size`; else one that no buffer has.
  int64_t count(int64_t size) {
    return rarely() ? any({int64_t{-1}, std::numeric_limits<int64_t>::min(), int64_t{1} << 47, int64_t{1} << 53,
                           int64_t{1} << 62, std::numeric_limits<int64_t>::max()})
                    : size;
  }
  uint32_t number(uint32_t usual) {
    return rarely() ? any({0u, 1u, 3u, 65536u, 1u << 31, std::numeric_limits<uint32_t>::max()}) : usual;
  }
  float odd_float() {
    using Limits = std::numeric_limits<float>;
    return any({0.0F, -0.0F, 1.0F, -1.0F, Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(), Limits::max(),
                Limits::denorm_min()});
  }
  float value(float usual) { return rarely(6) ? odd_float() : usual; }
  std::vector<float> floats(int64_t size) {
    std::vector<float> out(size);
    const bool odd = rarely(4);
    for (float& each : out) each = odd && rarely(4) ? odd_float() : static_cast<float>(below(2001)) / 1000 - 1;
    return out;
  }
  template <typename T>
  T* or_null(T* pointer) {
    return rarely(20) ? nullptr : pointer;
  }
  template <typename Struct>
  void spoil_size(Struct& of) {
    of.size = rarely(20) ? any({0u, 1u, of.size - 1, of.size + 8, std::numeric_limits<uint32_t>::max()}) : of.size;
  }

  /// Makes the call with a message buffer and sees that its answer is one.
  template <typename Call>
  clipn_status answered(const Call& call) {
    clipn_error error;
    std::memset(&error, 1, sizeof(error));
    const clipn_status status = call(&error);
    EXPECT_GE(status, CLIPN_OK);
    EXPECT_LE(status, CLIPN_DEVICE_LOST);
    if (status == CLIPN_OK) return status;
    EXPECT_NE(status, CLIPN_INTERNAL) << error.text;
    const size_t length = strnlen(error.text, sizeof(error.text));
    EXPECT_GT(length, 0u);
    EXPECT_LT(length, sizeof(error.text));
    for (size_t i = 0; i < length; ++i) {
      EXPECT_GE(static_cast<unsigned char>(error.text[i]), 0x20) << "byte " << i << " of " << error.text;
    }
    return status;
  }
  /// At least one of the calls in a hundred is accepted, or nothing much was tried.
  void expect_some_accepted(uint64_t accepted) const {
    if (runs >= 100) EXPECT_GE(accepted, runs / 100);
  }

  /// An image whose samples are in `data`, without a byte more.
  clipn_image image(std::vector<uint8_t>& data) {
    clipn_image out = {nullptr, static_cast<uint32_t>(between(1, 40)), static_cast<uint32_t>(between(1, 40)),
                       any({1u, 3u, 4u}), 0};
    out.stride = out.width * out.channels + below(5);
    data.resize((out.height - 1) * out.stride + out.width * out.channels);
    for (uint8_t& each : data) each = static_cast<uint8_t>(engine());
    out.data = or_null(data.data());
    if (rarely()) out.channels = any({0u, 2u, 5u, std::numeric_limits<uint32_t>::max()});
    if (rarely()) out.width = any({0u, (1u << 24) + 1, std::numeric_limits<uint32_t>::max()});
    if (rarely()) out.height = any({0u, (1u << 24) + 1, std::numeric_limits<uint32_t>::max()});
    if (rarely()) out.stride = below(out.stride);
    return out;
  }
};

TEST_F(CoreFuzz, Preprocess) {
  uint64_t accepted = 0;
  for (uint64_t run = 0; run < runs && !HasFailure(); ++run) {
    std::vector<uint8_t> data;
    const clipn_image from = image(data);
    const auto usual = static_cast<uint32_t>(between(1, 64));
    const uint32_t side = rarely() ? any({0u, 8193u, std::numeric_limits<uint32_t>::max()}) : usual;
    std::vector<uint8_t> out(size_t{usual} * usual * 3);
    const clipn_image* given = or_null(&from);
    uint8_t* to = or_null(out.data());
    accepted += answered([&](clipn_error* e) { return clipn_preprocess(given, side, to, e); }) == CLIPN_OK;
  }
  expect_some_accepted(accepted);
}

TEST_F(CoreFuzz, Score) {
  uint64_t accepted = 0;
  for (uint64_t run = 0; run < runs && !HasFailure(); ++run) {
    const int64_t n = between(0, 5), c = between(1, 40), d = between(1, 33), w = rarely(2) ? 0 : between(1, 30);
    const auto features = floats(n * d), yes = floats(c * d), no = floats(c * d), words = floats(w * d);
    // Of w groups at most: whichever number is named, there are as many.
    std::vector<int64_t> ends(w);
    const int64_t groups = w == 0 ? 0 : between(1, w);
    for (int64_t i = 0; i < w; ++i) ends[i] = i + 1 < groups ? i + 1 : w;
    for (int64_t& end : ends) end = rarely(100) ? count(-5) : end;
    clipn_score_input in = {};
    in.size = sizeof(in);
    in.scale = value(100);
    in.features = or_null(features.data());
    in.bank_yes = or_null(yes.data());
    in.bank_no = rarely(3) ? nullptr : no.data();
    in.n = count(n);
    in.c = rarely() ? any({int64_t{0}, int64_t{-1}, int64_t{1} << 31, int64_t{1} << 62}) : c;
    in.d = count(d);
    in.k = count(between(0, c));
    in.device = rarely(20) ? any({CLIPN_CUDA, static_cast<clipn_device>(-1), static_cast<clipn_device>(7)}) : CLIPN_CPU;
    in.bank_id = engine();
    in.words = or_null(words.data());
    in.w = rarely() ? any({int64_t{0}, int64_t{-1}, int64_t{1} << 31, int64_t{1} << 62}) : w;
    in.group_ends = or_null(ends.data());
    in.groups = count(groups);
    spoil_size(in);
    std::vector<std::vector<float>> rows(12, std::vector<float>(n)), tops(2, std::vector<float>(n * c)),
        logits(2, std::vector<float>(n * c));
    std::vector<int32_t> top_index(n * c), word_index(n);
    clipn_score_output out = {};
    out.size = sizeof(out);
    size_t next = 0;
    for (float** field : {&out.ctw, &out.atd, &out.msp, &out.max_logit, &out.energy, &out.mcm, &out.gap, &out.log_p_out,
                          &out.log_q_max, &out.neg_label, &out.ole, &out.word_max}) {
      *field = rarely(100) ? nullptr : rows[next].data();
      ++next;
    }
    out.top_index = or_null(top_index.data());
    out.top_p = or_null(tops[0].data());
    out.top_p_yes = or_null(tops[1].data());
    out.logits_yes = rarely(2) ? nullptr : logits[0].data();
    out.logits_no = rarely(2) ? nullptr : logits[1].data();
    out.word_index = or_null(word_index.data());
    spoil_size(out);
    accepted += answered([&](clipn_error* e) { return clipn_score(&in, &out, e); }) == CLIPN_OK;
  }
  expect_some_accepted(accepted);
}

TEST_F(CoreFuzz, Lanes) {
  for (uint64_t run = 0; run < runs / 10 && !HasFailure(); ++run) {
    clipn_lane_options options = {sizeof(options), number(static_cast<uint32_t>(between(0, 3)))};
    spoil_size(options);
    clipn_lane* lane = nullptr;
    if (answered([&](clipn_error* e) { return clipn_lane_create(&options, &lane, e); }) != CLIPN_OK) continue;
    uint64_t ticket = 0;
    const clipn_job job = or_null(+[](void*) {});
    EXPECT_EQ(clipn_lane_post(lane, job, nullptr, or_null(&ticket)), job == nullptr ? CLIPN_INVALID_ARG : CLIPN_OK);
    clipn_lane_cancel(lane, any({ticket, uint64_t{0}, std::numeric_limits<uint64_t>::max()}));
    clipn_lane_destroy(lane, or_null(+[](void*) {}));
  }
}

class CoreFuzzFiles : public CoreFuzz {
 protected:
  TemporaryFolder folder;
  std::string target = folder / "model.pt", path = folder / "checkpoint.bin";
  TinyCheckpoint tiny{path};
  std::deque<std::vector<int64_t>> sizes;

  std::string odd_path() {
    return any({std::string(), std::string("/"), folder / "absent", folder / "absent/file", folder / "",
                std::string(5000, 'x'), std::string("/dev/null"), path});
  }
  clipn_architecture architecture() {
    clipn_architecture out = tiny.architecture;
    auto* const numbers = reinterpret_cast<uint32_t*>(&out);
    for (size_t i = 1; i < sizeof(out) / sizeof(uint32_t); ++i) {
      if (rarely(40)) numbers[i] = number(any({0u, 1u, 2u, 8u, 1000u}));
    }
    spoil_size(out);
    return out;
  }
  std::vector<clipn_tensor> tensors() {
    std::vector<clipn_tensor> out = tiny.tensors;
    while (rarely(2)) {
      const size_t index = below(out.size());
      clipn_tensor& each = out[index];
      const clipn_tensor& whole = tiny.tensors[index];
      std::vector<int64_t>& changed = sizes.emplace_back(whole.shape, whole.shape + whole.rank);
      for (int64_t& size : changed) size = rarely(2) ? count(between(0, 9)) : size;
      switch (below(7)) {
        case 0:
          each.name = any({static_cast<const char*>(nullptr), "", "prompt_no", "visual.proj"});
          break;
        case 1:
          each.dtype = any({static_cast<const char*>(nullptr), "", "float16", "bfloat16", "int8", "float32"});
          break;
        case 2:
          each.shape = or_null(changed.data());
          break;
        case 3:
          each.stride = or_null(changed.data());
          break;
        case 4:
          each.rank = any({0u, 1u, 65u, std::numeric_limits<uint32_t>::max()});
          if (each.rank == 1) each.shape = each.stride = sizes.emplace_back(1, count(3)).data();
          break;
        case 5:
          each.offset = any({uint64_t{1}, uint64_t{1} << 40, std::numeric_limits<uint64_t>::max(), each.offset + 4});
          break;
        default:
          std::filesystem::resize_file(path, below(std::filesystem::file_size(path) + 1));
      }
    }
    return out;
  }
};

TEST_F(CoreFuzzFiles, Export) {
  uint64_t accepted = 0;
  for (uint64_t run = 0; run < runs / 4 && !HasFailure(); ++run) {
    const TinyCheckpoint whole(path);
    const std::vector<clipn_tensor> list = tensors();
    const clipn_architecture network = architecture();
    const std::string from = rarely(20) ? odd_path() : path, to = rarely(20) ? odd_path() : target;
    clipn_export_options options = tiny.options(target);
    options.checkpoint = or_null(from.c_str());
    options.target = or_null(to.c_str());
    options.tensors = list.data();
    options.tensor_count = rarely() ? below(list.size()) : list.size();
    options.architecture = or_null(&network);
    options.dtype = any({CLIPN_FP32, CLIPN_FP16, CLIPN_BF16, rarely() ? static_cast<clipn_precision>(9) : CLIPN_FP32});
    options.image_only = static_cast<uint32_t>(below(2));
    options.clipn_json = or_null("{}");
    options.tokenizer_json = any({static_cast<const char*>(nullptr), "", "{}"});
    spoil_size(options);
    accepted += answered([&](clipn_error* e) { return clipn_export(&options, e); }) == CLIPN_OK;
    sizes.clear();
  }
  if (runs >= 100) EXPECT_GT(accepted, 0u);
}

struct CloseModel {
  void operator()(clipn_model* model) const { clipn_model_close(model); }
};

TEST_F(CoreFuzzFiles, Model) {
  const clipn_export_options exporting = tiny.options(target);
  ASSERT_EQ(clipn_export(&exporting, nullptr), CLIPN_OK);
  std::unique_ptr<clipn_model, CloseModel> model;
  uint64_t accepted = 0;
  constexpr int64_t kSide = TinyCheckpoint::kSide, kEmbed = TinyCheckpoint::kEmbed, kPatches = 4;
  for (uint64_t run = 0; run < runs && !HasFailure(); ++run) {
    if (!model || rarely(50)) {
      const std::string from = rarely(2) ? odd_path() : target;
      clipn_model_options options = {sizeof(options), any({CLIPN_FP32, CLIPN_BF16, CLIPN_FP16, CLIPN_INT8}), CLIPN_CPU,
                                     any({0U, 1U})};
      options.device = rarely() ? any({CLIPN_CUDA, static_cast<clipn_device>(5)}) : CLIPN_CPU;
      spoil_size(options);
      clipn_model* opened = nullptr;
      answered([&](clipn_error* e) { return clipn_model_open(or_null(from.c_str()), &options, &opened, e); });
      if (opened != nullptr) model.reset(opened);
      clipn_model_info info = {};
      info.size = sizeof(info);
      spoil_size(info);
      answered([&](clipn_error* e) { return clipn_model_describe(model.get(), &info, e); });
    }
    const int64_t n = between(1, 3), l = between(1, 8);
    std::vector<float> features(n * kEmbed), patches(n * kPatches * kEmbed);
    const int64_t rows = count(n), width = rarely() ? count(kEmbed + 1) : kEmbed;
    if (rarely(3)) {
      std::vector<int64_t> ids(n * l);
      for (int64_t& id : ids) id = rarely(20) ? count(TinyCheckpoint::kVocabulary) : between(0, 6);
      const auto tower = rarely() ? static_cast<clipn_tower>(3) : any({CLIPN_TEXT_YES, CLIPN_TEXT_NO});
      const int64_t length = count(l);
      accepted += answered([&](clipn_error* e) {
                    return clipn_encode_text(model.get(), tower, or_null(ids.data()), rows, length, width,
                                             or_null(features.data()), e);
                  }) == CLIPN_OK;
      continue;
    }
    if (rarely(20)) {
      const int64_t images = any({int64_t{1}, int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::max()});
      answered([&](clipn_error* e) { return clipn_run_image_linears(model.get(), images, e); });
      continue;
    }
    std::vector<uint8_t> pixels(n * kSide * kSide * 3, static_cast<uint8_t>(engine()));
    std::vector<std::vector<uint8_t>> data(n);
    std::vector<clipn_image> images(n);
    for (int64_t i = 0; i < n; ++i) images[i] = image(data[i]);
    const bool resized = rarely(3);
    clipn_image_batch batch = {sizeof(batch), kSide, nullptr, rows, {}, {}, nullptr};
    batch.side = rarely() ? any({0u, std::numeric_limits<uint32_t>::max()}) : kSide;
    batch.pixels = resized != rarely(20) ? nullptr : pixels.data();
    batch.images = resized != rarely(20) ? images.data() : nullptr;
    for (float& each : batch.mean) each = value(0.5F);
    for (float& each : batch.std) each = value(0.25F);
    spoil_size(batch);
    if (rarely(2)) {
      accepted += answered([&](clipn_error* e) {
                    return clipn_encode_images(model.get(), &batch, width, or_null(features.data()), e);
                  }) == CLIPN_OK;
    } else {
      const int64_t local = rarely() ? count(3) : kPatches;
      accepted += answered([&](clipn_error* e) {
                    return clipn_encode_image_patches(model.get(), &batch, width, local, or_null(features.data()),
                                                      or_null(patches.data()), e);
                  }) == CLIPN_OK;
    }
  }
  expect_some_accepted(accepted);
}

TEST_F(CoreFuzzFiles, ExportTorchScript) {
  const std::string model = folder / "whole.pt";
  const clipn_export_options exporting = tiny.options(model);
  ASSERT_EQ(clipn_export(&exporting, nullptr), CLIPN_OK);
  uint64_t accepted = 0;
  for (uint64_t run = 0; run < runs / 4 && !HasFailure(); ++run) {
    const int64_t c = between(1, 9), d = rarely() ? TinyCheckpoint::kEmbed + 1 : TinyCheckpoint::kEmbed;
    const int64_t w = rarely(2) ? 0 : between(1, 5), groups = w == 0 ? 0 : between(1, w);
    const auto yes = floats(c * d), no = floats(c * d), words = floats(w * d);
    std::vector<int64_t> ends(w);
    for (int64_t i = 0; i < w; ++i) ends[i] = i + 1 < groups ? i + 1 : w;
    for (int64_t& end : ends) end = rarely(100) ? count(-5) : end;
    clipn_score_input bank = {};
    bank.size = sizeof(bank);
    bank.scale = value(100);
    bank.bank_yes = or_null(yes.data());
    bank.bank_no = rarely(3) ? nullptr : no.data();
    bank.c = rarely() ? any({int64_t{0}, int64_t{-1}, int64_t{1} << 62}) : c;
    bank.d = rarely() ? any({int64_t{0}, int64_t{-1}, int64_t{1} << 62}) : d;
    bank.words = or_null(words.data());
    bank.w = rarely() ? any({int64_t{0}, int64_t{-1}, int64_t{1} << 62}) : w;
    bank.group_ends = or_null(ends.data());
    bank.groups = rarely() ? any({int64_t{0}, int64_t{-1}, int64_t{1} << 62}) : groups;
    spoil_size(bank);
    const std::string from = rarely(20) ? odd_path() : model, to = rarely(20) ? odd_path() : target;
    clipn_torchscript_options options = {};
    options.size = sizeof(options);
    options.model = or_null(from.c_str());
    options.target = or_null(to.c_str());
    options.bank = or_null(&bank);
    options.side = rarely() ? any({0U, 3U, std::numeric_limits<uint32_t>::max()}) : TinyCheckpoint::kSide;
    options.normalised = static_cast<uint32_t>(below(2));
    for (float& each : options.mean) each = value(0.5F);
    for (float& each : options.std) each = value(0.25F);
    options.json = any({static_cast<const char*>(nullptr), "", "{}"});
    spoil_size(options);
    accepted += answered([&](clipn_error* e) { return clipn_export_torchscript(&options, e); }) == CLIPN_OK;
  }
  if (runs >= 100) EXPECT_GT(accepted, 0u);
}

struct CloseTeacher {
  void operator()(clipn_teacher* teacher) const { clipn_teacher_close(teacher); }
};

TEST_F(CoreFuzzFiles, Teacher) {
  std::unique_ptr<clipn_teacher, CloseTeacher> teacher;
  uint64_t accepted = 0;
  for (uint64_t run = 0; run < runs / 4 && !HasFailure(); ++run) {
    if (!teacher || rarely(5)) {
      const TinyCheckpoint whole(path);
      const std::vector<clipn_tensor> list = rarely(3) ? tensors() : tiny.tensors;
      const clipn_architecture network = rarely(3) ? architecture() : tiny.architecture;
      clipn_teacher_options options = {};
      options.size = sizeof(options);
      options.checkpoint = or_null(path.c_str());
      options.tensors = list.data();
      options.tensor_count = list.size();
      options.architecture = &network;
      options.precision = any({CLIPN_FP32, CLIPN_BF16, rarely() ? CLIPN_FP16 : CLIPN_FP32});
      options.device = rarely() ? any({static_cast<const char*>(nullptr), "", "cuda", "gpu"}) : "cpu";
      options.prompts = rarely() ? any({0u, 1u, 3u}) : TinyCheckpoint::kPrompts;
      options.micro_batch = number(0);
      options.steps_taken = rarely() ? engine() : 0;
      options.scale = value(20);
      options.beta1 = value(0.9F);
      options.beta2 = value(0.98F);
      options.epsilon = value(1e-6F);
      options.weight_decay = value(0.1F);
      spoil_size(options);
      clipn_teacher* opened = nullptr;
      answered([&](clipn_error* e) { return clipn_teacher_open(&options, &opened, e); });
      if (opened != nullptr) teacher.reset(opened);
      sizes.clear();
    }
    const int64_t n = between(1, 5), l = between(1, 6);
    const auto images = floats(n * TinyCheckpoint::kEmbed), yes = floats(n * TinyCheckpoint::kEmbed);
    std::vector<int64_t> ids(n * l), maps(n), groups(n);
    for (int64_t& id : ids) id = rarely(50) ? count(TinyCheckpoint::kVocabulary) : between(0, 6);
    for (int64_t& map : maps) map = rarely(50) ? count(3) : between(0, TinyCheckpoint::kPrompts);
    for (int64_t& group : groups) group = count(between(0, 2));
    clipn_teacher_batch batch = {};
    batch.size = sizeof(batch);
    batch.n = count(n);
    batch.l = count(l);
    batch.image = or_null(images.data());
    batch.yes = or_null(yes.data());
    batch.ids = or_null(ids.data());
    batch.maps = or_null(maps.data());
    batch.groups = rarely(2) ? nullptr : groups.data();
    batch.learning_rate = value(1e-3F);
    spoil_size(batch);
    clipn_teacher_losses losses = {};
    losses.size = sizeof(losses);
    spoil_size(losses);
    accepted +=
        answered([&](clipn_error* e) { return clipn_teacher_step(teacher.get(), &batch, &losses, e); }) == CLIPN_OK;
    std::vector<float> out(TinyCheckpoint::kPrompts * TinyCheckpoint::kContext * TinyCheckpoint::kWidth);
    const char* name = any({static_cast<const char*>(nullptr), "", "prompt_no", "prompt_no", "visual.proj"});
    const auto part = static_cast<clipn_teacher_part>(between(-1, 3));
    const auto elements = static_cast<uint64_t>(count(static_cast<int64_t>(out.size())));
    answered([&](clipn_error* e) {
      return clipn_teacher_read(teacher.get(), part, name, or_null(out.data()), elements, e);
    });
  }
  if (runs >= 100) EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace clipn
