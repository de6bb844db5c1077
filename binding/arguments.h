// Reading JavaScript arguments and writing results; lib/ has checked the types already.
#pragma once

#include <clipn/core.h>
#include <napi.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

inline int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

inline std::string text(const Napi::Object& object, const char* key) { return object.Get(key).As<Napi::String>(); }

inline uint32_t number(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Uint32Value();
}

inline clipn_precision precision_of(const std::string& name) {
  if (name == "bf16") return CLIPN_BF16;
  if (name == "int8") return CLIPN_INT8;
  return name == "fp16" ? CLIPN_FP16 : CLIPN_FP32;
}

inline clipn_device device_of(const std::string& name) { return name == "cuda" ? CLIPN_CUDA : CLIPN_CPU; }

inline Napi::Float32Array floats(Napi::Env env, const std::vector<float>& values) {
  auto array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

inline std::array<float, 3> three(const Napi::Value& value) {
  const auto list = value.As<Napi::Array>();
  std::array<float, 3> out{};
  for (uint32_t i = 0; i < 3; ++i) out[i] = list.Get(i).As<Napi::Number>().FloatValue();
  return out;
}
