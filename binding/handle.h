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

// What a handle points to. JavaScript's collector frees it, or the end of its environment, whichever comes first: Bun
// and Deno run no finalizers when a worker is terminated, and the weights would stay.
template <typename T>
struct Held {
  std::shared_ptr<T> object;
  bool hooked = true;

  static void at_exit(void* held) {
    auto* self = static_cast<Held*>(held);
    self->object.reset();
    self->hooked = false;
  }
};

// A handle that JavaScript owns.
template <typename T>
Napi::Value make_handle(Napi::Env env, const HandleKind<T>& kind, const std::shared_ptr<T>& object) {
  auto held = std::make_unique<Held<T>>();
  held->object = object;
  auto handle = Napi::External<Held<T>>::New(env, held.get(), [](Napi::Env e, Held<T>* owned) {
    if (owned->hooked) napi_remove_env_cleanup_hook(e, &Held<T>::at_exit, owned);
    delete owned;
  });
  napi_add_env_cleanup_hook(env, &Held<T>::at_exit, held.release());
  handle.TypeTag(&kind.tag);
  return handle;
}

// The object of a handle; throws ERR_CLIPN_CLOSED when it has been reset, ERR_CLIPN_INTERNAL for another value.
template <typename T>
std::shared_ptr<T>& held_by(const Napi::Value& value, const HandleKind<T>& kind) {
  auto external = value.As<Napi::External<Held<T>>>();
  if (!value.IsExternal() || !external.CheckTypeTag(&kind.tag)) {
    throw coded_error(value.Env(), "ERR_CLIPN_INTERNAL", std::string("not a ") + kind.name + " handle");
  }
  std::shared_ptr<T>& object = external.Data()->object;
  if (!object) {
    throw coded_error(value.Env(), "ERR_CLIPN_CLOSED", std::string("the ") + kind.name + " is closed");
  }
  return object;
}
