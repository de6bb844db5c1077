// Queue, lifetimes and settling of jobs. What the jobs do is in *_call(s).cc.
#include "lane.h"

#include <cstdio>
#include <exception>

#include "errors.h"

Napi::Function Lane::define(Napi::Env env) {
  return DefineClass(
      env, "Lane",
      {InstanceMethod<&Lane::open_model>("openModel"), InstanceMethod<&Lane::encode_images>("encodeImages"),
       InstanceMethod<&Lane::encode_text>("encodeText"), InstanceMethod<&Lane::run_image_linears>("runImageLinears"),
       InstanceMethod<&Lane::score>("score"), InstanceMethod<&Lane::export_model>("exportModel"),
       InstanceMethod<&Lane::export_torchscript>("exportTorchScript"),
       InstanceMethod<&Lane::open_teacher>("openTeacher"), InstanceMethod<&Lane::teach>("teach"),
       InstanceMethod<&Lane::read_teacher>("readTeacher"), InstanceMethod<&Lane::cancel>("cancel"),
       InstanceMethod<&Lane::close>("close"), InstanceMethod<&Lane::shut_down_now>("shutDownNow")});
}

// new Lane(threads: number)
Lane::Lane(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Lane>(info), core_(require_core(info.Env())) {
  Napi::Env env = info.Env();
  clipn_lane_options options{sizeof(clipn_lane_options), info[0].As<Napi::Number>().Uint32Value()};
  clipn_error error{};
  clipn_lane* created = nullptr;
  const clipn_status status = core_.lane_create(&options, &created, &error);
  if (status != CLIPN_OK) throw coded_error(env, error_code(status), error.text);
  lane_ = std::unique_ptr<clipn_lane, Destroy>(created, {&core_});
  done_ = Napi::ThreadSafeFunction::New(env, Napi::Function(), "clipn lane", 0, 1);
  done_.Unref(env);  // an idle lane does not keep the process alive
  // Hooks run last-registered first: this one joins the lane before Node closes `done_`.
  napi_add_env_cleanup_hook(env, &Lane::at_exit, this);
}

Lane::~Lane() {
  if (lane_ == nullptr) return;
  napi_remove_env_cleanup_hook(Env(), &Lane::at_exit, this);
  shut_down();
}

void Lane::at_exit(void* lane) { static_cast<Lane*>(lane)->shut_down(); }

void Lane::shut_down() {
  if (lane_ == nullptr) return;
  lane_.reset();
  pending_.clear();
  done_.Release();
}

std::unique_ptr<Job> Lane::job(Napi::Env env) {
  auto job = std::make_unique<Job>(env);
  job->done = done_;
  job->result = [](Napi::Env e) { return e.Undefined(); };
  return job;
}

Napi::Value Lane::submit(Napi::Env env, std::unique_ptr<Job> job) {
  if (lane_ == nullptr || closing_) throw coded_error(env, "ERR_CLIPN_CLOSED", "the lane is closed");
  const auto run = [](void* context) {
    auto* job = static_cast<Job*>(context);
    try {
      job->status = job->run(&job->error);
    } catch (const std::exception&) {  // the buffers for results are made here: sizes come from the model file
      job->status = CLIPN_OUT_OF_MEMORY;
      std::snprintf(job->error.text, sizeof(job->error.text), "no memory for the results of this call");
    } catch (...) {  // the core lets nothing through; what came here anyway must not end the process
      job->status = CLIPN_INTERNAL;
      std::snprintf(job->error.text, sizeof(job->error.text), "an exception of unknown type");
    }
    // From the call on, the JS thread may free the job.
    const auto done = job->done;
    done.NonBlockingCall(
        [lane = job->lane, ticket = job->ticket](Napi::Env env, Napi::Function) { lane->settle(env, ticket); });
  };
  job->lane = this;
  const clipn_status status = core_.lane_post(lane_.get(), run, job.get(), &job->ticket);
  if (status != CLIPN_OK) throw coded_error(env, error_code(status), "the lane takes no more work");
  // Owned from here on, before any call into JavaScript: those fail in a worker that is being terminated.
  const Job& queued = *pending_.emplace(job->ticket, std::move(job)).first->second;
  if (pending_.size() == 1) {
    Ref();
    done_.Ref(env);
  }
  Napi::Object task = Napi::Object::New(env);
  task.Set("ticket", Napi::Number::New(env, static_cast<double>(queued.ticket)));
  task.Set("promise", queued.deferred.Promise());
  return task;
}

// Exactly once per job: Node frees a deferred even when concluding it fails, which it does in a worker that is being
// terminated. Nobody is left to hear of that failure.
static void conclude(const Job& job, bool ok, Napi::Value value) {
  try {
    if (ok) {
      job.deferred.Resolve(value);
    } else {
      job.deferred.Reject(value);
    }
  } catch (const Napi::Error&) {
  }
}

void Lane::settle(Napi::Env env, uint64_t ticket) {
  auto node = pending_.extract(ticket);
  if (node.empty()) return;
  Job& job = *node.mapped();
  bool ok = job.status == CLIPN_OK;
  Napi::Value value;
  try {
    value = ok ? job.result(env) : coded_error(env, error_code(job.status), job.error.text).Value();
  } catch (const Napi::Error& error) {
    ok = false;
    value = error.Value();
  }
  conclude(job, ok, value);
  let_go_when_idle(env);
}

void Lane::let_go_when_idle(Napi::Env env) {
  if (!pending_.empty()) return;
  if (lane_ != nullptr) done_.Unref(env);
  Unref();
}

// cancel(ticket: number): boolean. True when the job was still queued; its promise then rejects at once.
Napi::Value Lane::cancel(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto ticket = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  if (lane_ == nullptr || core_.lane_cancel(lane_.get(), ticket) == 0) return Napi::Boolean::New(env, false);
  const auto node = pending_.extract(ticket);
  // Never seen: runTask (lib/native/lane.ts), which alone cancels, rejects with the signal's reason before handlers
  // of this promise run. To see it would be a defect, and that is the code's word.
  conclude(*node.mapped(), false, coded_error(env, "ERR_CLIPN_INTERNAL", "cancelled before it ran").Value());
  let_go_when_idle(env);
  return Napi::Boolean::New(env, true);
}

// close(): Promise<void>. Takes no more work; resolves when all queued work is done and the thread has ended.
Napi::Value Lane::close(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto last = job(env);
  last->run = [](clipn_error*) { return CLIPN_OK; };
  last->result = [this](Napi::Env e) -> Napi::Value {
    napi_remove_env_cleanup_hook(e, &Lane::at_exit, this);
    shut_down();
    return e.Undefined();
  };
  const Napi::Value task = submit(env, std::move(last));
  closing_ = true;
  return task.As<Napi::Object>().Get("promise");
}

// shutDownNow(): drops queued work and waits for the running job. Its promises never settle: for the end of the
// process.
Napi::Value Lane::shut_down_now(const Napi::CallbackInfo& info) {
  // After close() there is nothing left to do, and no hook to remove.
  if (lane_ == nullptr) return info.Env().Undefined();
  napi_remove_env_cleanup_hook(info.Env(), &Lane::at_exit, this);
  shut_down();
  return info.Env().Undefined();
}
