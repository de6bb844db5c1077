// The engine behind core.h, opened at run time. The glue links neither libtorch nor the core, so `require()` works on
// any machine and a missing libtorch is an error with a remedy instead of a loader failure.
#pragma once

#include <clipn/core.h>

#include <string>
#include <vector>

// One pointer per function of core.h, by the same name without the prefix.
struct Core {
  decltype(&clipn_abi_version) abi_version;
  decltype(&clipn_core_describe) core_describe;
  decltype(&clipn_int8_absence) int8_absence;
  decltype(&clipn_lane_create) lane_create;
  decltype(&clipn_lane_post) lane_post;
  decltype(&clipn_lane_cancel) lane_cancel;
  decltype(&clipn_lane_destroy) lane_destroy;
  decltype(&clipn_preprocess) preprocess;
  decltype(&clipn_cuda_open) cuda_open;
  decltype(&clipn_model_open) model_open;
  decltype(&clipn_model_describe) model_describe;
  decltype(&clipn_model_close) model_close;
  decltype(&clipn_encode_images) encode_images;
  decltype(&clipn_encode_image_patches) encode_image_patches;
  decltype(&clipn_encode_image_contributions) encode_image_contributions;
  decltype(&clipn_encode_text) encode_text;
  decltype(&clipn_run_image_linears) run_image_linears;
  decltype(&clipn_score) score;
  decltype(&clipn_export) export_model;
  decltype(&clipn_export_torchscript) export_torchscript;
  decltype(&clipn_teacher_open) teacher_open;
  decltype(&clipn_teacher_step) teacher_step;
  decltype(&clipn_teacher_read) teacher_read;
  decltype(&clipn_teacher_close) teacher_close;
};

struct CoreLoadError {
  const char* code;  // an ERR_CLIPN_* code of lib/base/errors.ts
  std::string text;
};

// Opens `preload` (libtorch's own libraries, absolute, in order), then the core. Process-wide and once: later calls
// return the first core. Thread-safe. Throws CoreLoadError. Nothing is ever closed again.
const Core& open_core(const std::vector<std::string>& preload, const std::string& core_path);

// The opened core, or nullptr.
const Core* opened_core();
