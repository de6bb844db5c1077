// The exported functions of core.h: each is a guard around one call.
#include <ATen/Version.h>
#include <c10/util/Exception.h>
#include <clipn/core.h>
#include <torch/version.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "cpu/dispatch.h"
#include "cuda/open.h"
#include "error.h"
#include "image/resize.h"
#include "lane/lane.h"
#include "model/export.h"
#include "model/model.h"
#include "score/score.h"
#include "teach/teacher.h"

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

bool multiplies_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;  // AMX-BF16 comes only with it
#else
  return false;
#endif
}

void require(bool condition, const char* text) {
  if (!condition) throw clipn::Error(CLIPN_INVALID_ARG, text);
}

void require_complete(const clipn_image_batch& batch) {
  require(batch.size >= sizeof batch && (batch.pixels == nullptr) != (batch.images == nullptr),
          "clipn_image_batch is incomplete: it has either pixels or images");
}

}  // namespace

uint32_t clipn_abi_version(void) { return CLIPN_ABI_VERSION; }

clipn_status clipn_core_describe(clipn_core_info* out, clipn_error* error) {
  return guard(error, [&] {
    require(out != nullptr && out->size >= sizeof(clipn_core_info), "clipn_core_info is null or too small");
    static const std::string capability = at::get_cpu_capability();
    out->torch_version = TORCH_VERSION;
    out->cpu_target = clipn::cpu::kernels().name;
    out->cpu_capability = capability.c_str();
    out->cpu_bf16 = multiplies_bf16() ? 1 : 0;
  });
}

clipn_status clipn_lane_create(const clipn_lane_options* options, clipn_lane** out, clipn_error* error) {
  return guard(error, [&] {
    require(options != nullptr && out != nullptr, "clipn_lane_create: null argument");
    require(options->size >= sizeof(clipn_lane_options), "clipn_lane_options is too small");
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
    require(image != nullptr && out != nullptr, "clipn_preprocess: null argument");
    clipn::resize_crop(*image, side, out);
  });
}

clipn_status clipn_cuda_open(const char* plugin, clipn_cuda_info* out, clipn_error* error) {
  return guard(error, [&] {
    require(out != nullptr && out->size >= sizeof(clipn_cuda_info), "clipn_cuda_info is null or too small");
    clipn::open_cuda(plugin, *out);
  });
}

clipn_status clipn_model_open(const char* path, const clipn_model_options* options, clipn_model** out,
                              clipn_error* error) {
  return guard(error, [&] {
    require(path != nullptr && options != nullptr && out != nullptr, "clipn_model_open: null argument");
    require(options->size >= sizeof(clipn_model_options), "clipn_model_options is too small");
    require(options->device == CLIPN_CPU || options->device == CLIPN_CUDA, "clipn_model_open: no such device");
    *out = std::make_unique<clipn_model>(path, options->precision, options->device).release();
  });
}

clipn_status clipn_model_describe(const clipn_model* model, clipn_model_info* out, clipn_error* error) {
  return guard(error, [&] {
    require(model != nullptr && out != nullptr && out->size >= sizeof(clipn_model_info),
            "clipn_model_info is null or too small");
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
    require(model != nullptr && batch != nullptr && features != nullptr, "clipn_encode_images: null argument");
    require_complete(*batch);
    model->encode_images(*batch, d, features);
  });
}

clipn_status clipn_encode_image_patches(clipn_model* model, const clipn_image_batch* batch, int64_t d, int64_t p,
                                        float* features, float* patches, clipn_error* error) {
  return guard(error, [&] {
    require(model != nullptr && batch != nullptr && features != nullptr && patches != nullptr,
            "clipn_encode_image_patches: null argument");
    require_complete(*batch);
    model->encode_image_patches(*batch, d, p, features, patches);
  });
}

clipn_status clipn_encode_text(clipn_model* model, clipn_tower tower, const int64_t* ids, int64_t n, int64_t l,
                               int64_t d, float* features, clipn_error* error) {
  return guard(error, [&] {
    require(model != nullptr && ids != nullptr && features != nullptr, "clipn_encode_text: null argument");
    require(tower == CLIPN_TEXT_YES || tower == CLIPN_TEXT_NO, "clipn_encode_text: no such tower");
    model->encode_text(tower, ids, n, l, d, features);
  });
}

clipn_status clipn_run_image_linears(clipn_model* model, int64_t n, clipn_error* error) {
  return guard(error, [&] {
    require(model != nullptr, "clipn_run_image_linears: null argument");
    model->run_image_linears(n);
  });
}

clipn_status clipn_score(const clipn_score_input* input, const clipn_score_output* output, clipn_error* error) {
  return guard(error, [&] {
    require(input != nullptr && output != nullptr, "clipn_score: null argument");
    require(input->size >= sizeof(clipn_score_input) && output->size >= sizeof(clipn_score_output),
            "clipn_score: a struct is too small");
    require(input->device == CLIPN_CPU || input->device == CLIPN_CUDA, "clipn_score: no such device");
    clipn::score(*input, *output);
  });
}

clipn_status clipn_export(const clipn_export_options* options, clipn_error* error) {
  return guard(error, [&] {
    require(options != nullptr && options->size >= sizeof(clipn_export_options),
            "clipn_export_options is null or too small");
    require(options->checkpoint != nullptr && options->target != nullptr && options->clipn_json != nullptr &&
                (options->tensors != nullptr || options->tensor_count == 0),
            "clipn_export: null argument");
    require(options->architecture != nullptr && options->architecture->size >= sizeof(clipn_architecture),
            "clipn_architecture is null or too small");
    clipn::export_model(*options);
  });
}

clipn_status clipn_teacher_open(const clipn_teacher_options* options, clipn_teacher** out, clipn_error* error) {
  return guard(error, [&] {
    require(options != nullptr && options->size >= sizeof(clipn_teacher_options),
            "clipn_teacher_options is null or too small");
    require(out != nullptr && options->checkpoint != nullptr && options->device != nullptr &&
                (options->tensors != nullptr || options->tensor_count == 0),
            "clipn_teacher_open: null argument");
    require(options->architecture != nullptr && options->architecture->size >= sizeof(clipn_architecture),
            "clipn_architecture is null or too small");
    *out = std::make_unique<clipn_teacher>(*options).release();
  });
}

clipn_status clipn_teacher_step(clipn_teacher* teacher, const clipn_teacher_batch* batch, clipn_teacher_losses* losses,
                                clipn_error* error) {
  return guard(error, [&] {
    require(teacher != nullptr && batch != nullptr && losses != nullptr, "clipn_teacher_step: null argument");
    require(batch->size >= sizeof(clipn_teacher_batch) && losses->size >= sizeof(clipn_teacher_losses),
            "clipn_teacher_step: a struct is too small");
    require(batch->image != nullptr && batch->yes != nullptr && batch->ids != nullptr && batch->maps != nullptr,
            "clipn_teacher_batch is incomplete");
    *losses = teacher->step(*batch);
  });
}

clipn_status clipn_teacher_read(const clipn_teacher* teacher, clipn_teacher_part part, const char* name, float* out,
                                uint64_t count, clipn_error* error) {
  return guard(error, [&] {
    require(teacher != nullptr && name != nullptr && out != nullptr, "clipn_teacher_read: null argument");
    teacher->read(part, name, out, count);
  });
}

void clipn_teacher_close(clipn_teacher* teacher) { const std::unique_ptr<clipn_teacher> owned(teacher); }
