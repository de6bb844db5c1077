// The exported functions of core.h: each is a guard around one call.
#include <ATen/Version.h>
#include <c10/util/Exception.h>
#include <clipn/core.h>
#include <torch/version.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "cpu/dispatch.h"
#include "cuda/open.h"
#include "error.h"
#include "image/resize.h"
#include "lane/lane.h"
#include "model/export.h"
#include "model/model.h"
#include "model/torchscript.h"
#include "score/score.h"
#include "teach/teacher.h"
#include "tower/gemm.h"

struct clipn_lane : clipn::Lane {
  using Lane::Lane;
};

struct clipn_model : clipn::Model {
  using Model::Model;
};

struct clipn_teacher : clipn::Teacher {
  using Teacher::Teacher;
};

namespace {

void write(clipn_error* error, std::string_view text) noexcept {
  if (error == nullptr) return;
  const size_t length = std::min(text.size(), sizeof(error->text) - 1);
  std::memcpy(error->text, text.data(), length);
  error->text[length] = '\0';
}

// Runs `call`; turns whatever it throws into a status and a message.
template <typename Call>
clipn_status guard(clipn_error* error, const Call& call) noexcept {
  try {
    call();
    return CLIPN_OK;
  } catch (const clipn::Error& e) {
    write(error, e.what());
    return e.status();
  } catch (const std::bad_alloc&) {
    write(error, "out of memory");
    return CLIPN_OUT_OF_MEMORY;
  } catch (const c10::Error& e) {
    write(error, e.what_without_backtrace());
    return clipn::says_out_of_memory(e.what_without_backtrace()) ? CLIPN_OUT_OF_MEMORY : CLIPN_INTERNAL;
  } catch (const std::exception& e) {
    write(error, clipn::first_line(e.what()));
    return CLIPN_INTERNAL;
  } catch (...) {
    write(error, "an exception of unknown type");
    return CLIPN_INTERNAL;
  }
}

// More than computers have cores; OpenMP ends the process when it cannot start as many as it was told to.
constexpr uint32_t kMostThreads = 1024;

bool multiplies_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;  // AMX-BF16 comes only with it
#else
  return false;
#endif
}

bool multiplies_int8() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vnni") != 0 || clipn::cpu::has_avx_vnni();  // AMX-INT8 comes only with them
#else
  return false;
#endif
}

// What every entrance asks of its arguments. Each check throws INVALID_ARG with "function: argument what is wrong".

[[noreturn]] void refuse(const char* function, const std::string& argument, const std::string& what) {
  throw clipn::Error(CLIPN_INVALID_ARG, std::string(function) + ": " + argument + " " + what);
}

void require(const void* pointer, const char* function, const char* argument) {
  if (pointer == nullptr) refuse(function, argument, "is null");
}

// The struct is there, and of this version or a newer one: only then may its fields be used.
template <typename Struct>
void require_struct(const Struct* value, const char* function, const char* argument) {
  require(value, function, argument);
  if (value->size >= sizeof(Struct)) return;
  refuse(function, std::string(argument) + "->size",
         "is " + std::to_string(value->size) + ", less than " + std::to_string(sizeof(Struct)));
}

void require_device(clipn_device device, const char* function, const char* argument) {
  if (device == CLIPN_CPU || device == CLIPN_CUDA) return;
  refuse(function, argument, "is " + std::to_string(static_cast<int>(device)) + ", which is no device");
}

void require_batch(const clipn_image_batch* batch, const char* function) {
  require_struct(batch, function, "batch");
  if (batch->pixels == nullptr && batch->images == nullptr) refuse(function, "batch", "has neither pixels nor images");
  if (batch->pixels != nullptr && batch->images != nullptr) refuse(function, "batch", "has both pixels and images");
}

// More dimensions than PyTorch has.
constexpr uint32_t kMostDimensions = 64;

void require_tensor(const clipn_tensor& tensor, const char* function, uint64_t index) {
  const auto field = [&](const char* name) { return "options->tensors[" + std::to_string(index) + "]." + name; };
  if (tensor.name == nullptr) refuse(function, field("name"), "is null");
  if (tensor.dtype == nullptr) refuse(function, field("dtype"), "is null");
  if (tensor.rank > kMostDimensions) refuse(function, field("rank"), "is " + std::to_string(tensor.rank));
  if (tensor.rank > 0 && tensor.shape == nullptr) refuse(function, field("shape"), "is null");
  if (tensor.rank > 0 && tensor.stride == nullptr) refuse(function, field("stride"), "is null");
}

// What export and teacher have in common: a checkpoint, and the architecture that its tensors make up.
template <typename Options>
void require_checkpoint(const Options& options, const char* function) {
  require(options.checkpoint, function, "options->checkpoint");
  if (options.tensor_count > 0) require(options.tensors, function, "options->tensors");
  for (uint64_t i = 0; i < options.tensor_count; ++i) require_tensor(options.tensors[i], function, i);
  require_struct(options.architecture, function, "options->architecture");
}

}  // namespace

uint32_t clipn_abi_version(void) { return CLIPN_ABI_VERSION; }

clipn_status clipn_core_describe(clipn_core_info* out, clipn_error* error) {
  return guard(error, [&] {
    require_struct(out, "clipn_core_describe", "out");
    static const std::string capability = at::get_cpu_capability();
    out->torch_version = TORCH_VERSION;
    out->cpu_target = clipn::cpu::kernels().name;
    out->cpu_capability = capability.c_str();
    out->cpu_bf16 = multiplies_bf16() ? 1 : 0;
    out->cpu_int8 = multiplies_int8() ? 1 : 0;
  });
}

clipn_status clipn_int8_absence(const char** out, clipn_error* error) {
  return guard(error, [&] {
    require(out, "clipn_int8_absence", "out");
    *out = clipn::int8_absence().c_str();
  });
}

clipn_status clipn_lane_create(const clipn_lane_options* options, clipn_lane** out, clipn_error* error) {
  return guard(error, [&] {
    require_struct(options, "clipn_lane_create", "options");
    require(out, "clipn_lane_create", "out");
    if (options->threads > kMostThreads) {
      refuse("clipn_lane_create", "options->threads",
             "is " + std::to_string(options->threads) + ", more than " + std::to_string(kMostThreads));
    }
    *out = std::make_unique<clipn_lane>(options->threads).release();
  });
}

clipn_status clipn_lane_post(clipn_lane* lane, clipn_job run, void* context, uint64_t* ticket) {
  if (lane == nullptr || run == nullptr) return CLIPN_INVALID_ARG;
  bool posted = false;
  const clipn_status status = guard(nullptr, [&] { posted = lane->post(run, context, ticket); });
  return status != CLIPN_OK || posted ? status : CLIPN_CLOSED;
}

int clipn_lane_cancel(clipn_lane* lane, uint64_t ticket) { return lane != nullptr && lane->cancel(ticket) ? 1 : 0; }

void clipn_lane_destroy(clipn_lane* lane, clipn_job drop) {
  const std::unique_ptr<clipn_lane> owned(lane);
  if (owned) owned->close(drop);
}

clipn_status clipn_preprocess(const clipn_image* image, uint32_t side, uint8_t* out, clipn_error* error) {
  return guard(error, [&] {
    require(image, "clipn_preprocess", "image");
    require(out, "clipn_preprocess", "out");
    clipn::resize_crop(*image, side, out);
  });
}

clipn_status clipn_cuda_open(const char* plugin, clipn_cuda_info* out, clipn_error* error) {
  return guard(error, [&] {
    require_struct(out, "clipn_cuda_open", "out");
    clipn::open_cuda(plugin, *out);
  });
}

clipn_status clipn_model_open(const char* path, const clipn_model_options* options, clipn_model** out,
                              clipn_error* error) {
  return guard(error, [&] {
    require(path, "clipn_model_open", "path");
    require_struct(options, "clipn_model_open", "options");
    require_device(options->device, "clipn_model_open", "options->device");
    require(out, "clipn_model_open", "out");
    *out = std::make_unique<clipn_model>(path, options->precision, options->device, options->image_only != 0).release();
  });
}

clipn_status clipn_model_describe(const clipn_model* model, clipn_model_info* out, clipn_error* error) {
  return guard(error, [&] {
    require(model, "clipn_model_describe", "model");
    require_struct(out, "clipn_model_describe", "out");
    out->methods = model->methods();
    out->clipn_json = model->clipn_json().c_str();
    out->tokenizer_json = model->tokenizer_json().c_str();
    out->rewritten = model->rewritten() ? 1 : 0;
  });
}

void clipn_model_close(clipn_model* model) { const std::unique_ptr<clipn_model> owned(model); }

clipn_status clipn_encode_images(clipn_model* model, const clipn_image_batch* batch, int64_t d, float* features,
                                 clipn_error* error) {
  return guard(error, [&] {
    require(model, "clipn_encode_images", "model");
    require_batch(batch, "clipn_encode_images");
    require(features, "clipn_encode_images", "features");
    model->encode_images(*batch, d, features);
  });
}

clipn_status clipn_encode_image_patches(clipn_model* model, const clipn_image_batch* batch, int64_t d, int64_t p,
                                        float* features, float* patches, clipn_error* error) {
  return guard(error, [&] {
    require(model, "clipn_encode_image_patches", "model");
    require_batch(batch, "clipn_encode_image_patches");
    require(features, "clipn_encode_image_patches", "features");
    require(patches, "clipn_encode_image_patches", "patches");
    model->encode_image_patches(*batch, d, p, features, patches);
  });
}

clipn_status clipn_encode_image_contributions(clipn_model* model, const clipn_image_batch* batch, int64_t d, int64_t p,
                                              float* features, float* contributions, clipn_error* error) {
  return guard(error, [&] {
    require(model, "clipn_encode_image_contributions", "model");
    require_batch(batch, "clipn_encode_image_contributions");
    require(features, "clipn_encode_image_contributions", "features");
    require(contributions, "clipn_encode_image_contributions", "contributions");
    model->encode_image_contributions(*batch, d, p, features, contributions);
  });
}

clipn_status clipn_encode_text(clipn_model* model, clipn_tower tower, const int64_t* ids, int64_t n, int64_t l,
                               int64_t d, float* features, clipn_error* error) {
  return guard(error, [&] {
    require(model, "clipn_encode_text", "model");
    if (tower != CLIPN_TEXT_YES && tower != CLIPN_TEXT_NO) {
      refuse("clipn_encode_text", "tower", "is " + std::to_string(static_cast<int>(tower)) + ", which is no tower");
    }
    require(ids, "clipn_encode_text", "ids");
    require(features, "clipn_encode_text", "features");
    model->encode_text(tower, ids, n, l, d, features);
  });
}

clipn_status clipn_run_image_linears(clipn_model* model, int64_t n, clipn_error* error) {
  return guard(error, [&] {
    require(model, "clipn_run_image_linears", "model");
    model->run_image_linears(n);
  });
}

clipn_status clipn_score(const clipn_score_input* input, const clipn_score_output* output, clipn_error* error) {
  return guard(error, [&] {
    require_struct(input, "clipn_score", "input");
    require_device(input->device, "clipn_score", "input->device");
    require_struct(output, "clipn_score", "output");
    clipn::score(*input, *output);
  });
}

clipn_status clipn_export(const clipn_export_options* options, clipn_error* error) {
  return guard(error, [&] {
    require_struct(options, "clipn_export", "options");
    require_checkpoint(*options, "clipn_export");
    require(options->target, "clipn_export", "options->target");
    require(options->clipn_json, "clipn_export", "options->clipn_json");
    clipn::export_model(*options);
  });
}

clipn_status clipn_export_torchscript(const clipn_torchscript_options* options, clipn_error* error) {
  return guard(error, [&] {
    require_struct(options, "clipn_export_torchscript", "options");
    require(options->model, "clipn_export_torchscript", "options->model");
    require(options->target, "clipn_export_torchscript", "options->target");
    require_struct(options->bank, "clipn_export_torchscript", "options->bank");
    require(options->bank->bank_yes, "clipn_export_torchscript", "options->bank->bank_yes");
    clipn::export_torchscript(*options);
  });
}

clipn_status clipn_teacher_open(const clipn_teacher_options* options, clipn_teacher** out, clipn_error* error) {
  return guard(error, [&] {
    require_struct(options, "clipn_teacher_open", "options");
    require_checkpoint(*options, "clipn_teacher_open");
    require(options->device, "clipn_teacher_open", "options->device");
    require(out, "clipn_teacher_open", "out");
    *out = std::make_unique<clipn_teacher>(*options).release();
  });
}

clipn_status clipn_teacher_step(clipn_teacher* teacher, const clipn_teacher_batch* batch, clipn_teacher_losses* losses,
                                clipn_error* error) {
  return guard(error, [&] {
    require(teacher, "clipn_teacher_step", "teacher");
    require_struct(batch, "clipn_teacher_step", "batch");
    require(batch->image, "clipn_teacher_step", "batch->image");
    require(batch->yes, "clipn_teacher_step", "batch->yes");
    require(batch->ids, "clipn_teacher_step", "batch->ids");
    require(batch->maps, "clipn_teacher_step", "batch->maps");
    require_struct(losses, "clipn_teacher_step", "losses");
    *losses = teacher->step(*batch);
  });
}

clipn_status clipn_teacher_read(const clipn_teacher* teacher, clipn_teacher_part part, const char* name, float* out,
                                uint64_t count, clipn_error* error) {
  return guard(error, [&] {
    require(teacher, "clipn_teacher_read", "teacher");
    require(name, "clipn_teacher_read", "name");
    require(out, "clipn_teacher_read", "out");
    teacher->read(part, name, out, count);
  });
}

void clipn_teacher_close(clipn_teacher* teacher) { const std::unique_ptr<clipn_teacher> owned(teacher); }
