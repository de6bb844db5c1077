// Objects of the core as JavaScript sees them: opaque handles that share ownership with the jobs that use them.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "errors.h"

template <typename T>
struct HandleKind {
  const char* name;  // for messages: "model"
  napi_type_tag tag;
};

// A handle that JavaScript owns: its collector frees it.
template <typename T>
Napi::Value make_handle(Napi::Env env, const HandleKind<T>& kind, const std::shared_ptr<T>& object) {
  using Shared = std::shared_ptr<T>;
  auto handle = Napi::External<Shared>::New(env, std::make_unique<Shared>(object).release(),
                                            [](Napi::Env, Shared* owned) { delete owned; });
  handle.TypeTag(&kind.tag);
  return handle;
}

// The object of a handle; throws ERR_CLIPN_CLOSED when it has been reset, ERR_CLIPN_INTERNAL for another value.
template <typename T>
std::shared_ptr<T>& held_by(const Napi::Value& value, const HandleKind<T>& kind) {
  auto external = value.As<Napi::External<std::shared_ptr<T>>>();
  if (!value.IsExternal() || !external.CheckTypeTag(&kind.tag)) {
    throw coded_error(value.Env(), "ERR_CLIPN_INTERNAL", std::string("not a ") + kind.name + " handle");
  }
  if (!*external.Data()) {
    throw coded_error(value.Env(), "ERR_CLIPN_CLOSED", std::string("the ") + kind.name + " is closed");
  }
  return *external.Data();
}
