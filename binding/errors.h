// From a status of core.h to a JavaScript error with the code that lib/base/errors.ts documents.
#pragma once

#include <clipn/core.h>
#include <napi.h>

#include <string>

#include "core_library.h"

inline const char* error_code(clipn_status status) {
  switch (status) {
    case CLIPN_INVALID_ARG:
      return "ERR_CLIPN_INVALID_ARG";
    case CLIPN_MODEL_NOT_FOUND:
      return "ERR_CLIPN_MODEL_NOT_FOUND";
    case CLIPN_MODEL_FORMAT:
      return "ERR_CLIPN_MODEL_FORMAT";
    case CLIPN_MODEL_CONTRACT:
      return "ERR_CLIPN_MODEL_CONTRACT";
    case CLIPN_CHECKPOINT:
      return "ERR_CLIPN_CHECKPOINT_FORMAT";
    case CLIPN_IO:
      return "ERR_CLIPN_IO";
    case CLIPN_OUT_OF_MEMORY:
      return "ERR_CLIPN_OUT_OF_MEMORY";
    case CLIPN_DEVICE_UNAVAILABLE:
      return "ERR_CLIPN_CUDA_UNAVAILABLE";
    case CLIPN_DEVICE_LOST:
      return "ERR_CLIPN_DEVICE_LOST";
    case CLIPN_CLOSED:
      return "ERR_CLIPN_CLOSED";
    default:
      return "ERR_CLIPN_INTERNAL";
  }
}

inline Napi::Error coded_error(Napi::Env env, const char* code, const std::string& text) {
  Napi::Error error = Napi::Error::New(env, text);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

inline const Core& require_core(Napi::Env env) {
  const Core* core = opened_core();
  if (core == nullptr) throw coded_error(env, "ERR_CLIPN_INTERNAL", "openCore has not been called");
  return *core;
}
