// A lane as JavaScript sees it: methods queue a job and return {ticket, promise}.
//
// Life of a job: made on the JS thread, run on the lane's thread (where it touches no JS value), settled and freed on
// the JS thread. `pending_` owns it throughout. Buffers a job reads are kept alive by references it holds; lib/ passes
// only buffers that it owns, so nobody detaches or changes them meanwhile.
#pragma once

#include <napi.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core_library.h"

class Lane;

struct Job {
  explicit Job(Napi::Env env) : deferred(env) {}

  std::function<clipn_status(clipn_error*)> run;  // lane's thread
  std::function<Napi::Value(Napi::Env)> result;   // JS thread, after CLIPN_OK
  std::vector<Napi::ObjectReference> keep;        // JS values whose memory `run` reads
  Napi::Promise::Deferred deferred;
  Napi::ThreadSafeFunction done;
  Lane* lane = nullptr;
  uint64_t ticket = 0;
  clipn_status status = CLIPN_OK;
  clipn_error error{};
};

class Lane : public Napi::ObjectWrap<Lane> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Lane(const Napi::CallbackInfo& info);
  ~Lane() override;

 private:
  // Calls that run on the lane; arguments are checked by lib/ (types) and again by the core (sizes).
  Napi::Value open_model(const Napi::CallbackInfo& info);
  Napi::Value encode_images(const Napi::CallbackInfo& info);
  Napi::Value encode_text(const Napi::CallbackInfo& info);
  Napi::Value run_image_linears(const Napi::CallbackInfo& info);
  Napi::Value score(const Napi::CallbackInfo& info);
  Napi::Value export_model(const Napi::CallbackInfo& info);
  Napi::Value export_torchscript(const Napi::CallbackInfo& info);
  Napi::Value open_teacher(const Napi::CallbackInfo& info);
  Napi::Value teach(const Napi::CallbackInfo& info);
  Napi::Value read_teacher(const Napi::CallbackInfo& info);

  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value shut_down_now(const Napi::CallbackInfo& info);

  std::unique_ptr<Job> job(Napi::Env env);
  Napi::Value submit(Napi::Env env, std::unique_ptr<Job> job);
  void settle(Napi::Env env, uint64_t ticket);
  void let_go_when_idle(Napi::Env env);
  void shut_down();
  static void at_exit(void* lane);

  struct Destroy {
    const Core* core;
    void operator()(clipn_lane* lane) const { core->lane_destroy(lane, nullptr); }
  };

  const Core& core_;
  std::unique_ptr<clipn_lane, Destroy> lane_;
  Napi::ThreadSafeFunction done_;
  std::map<uint64_t, std::unique_ptr<Job>> pending_;  // JS thread only
  bool closing_ = false;
};

// closeModel(handle): frees the weights once no queued job uses them.
Napi::Value close_model(const Napi::CallbackInfo& info);

// closeTeacher(handle): frees the weights once no queued job uses them.
Napi::Value close_teacher(const Napi::CallbackInfo& info);
