// The module's exports: openCore, describeCore, openCuda, int8Absence, closeModel, closeTeacher, Lane.
#include <napi.h>

#include "core_library.h"
#include "errors.h"
#include "lane.h"

namespace {

// Loading half a gigabyte of libraries is disk work: libuv's pool is the place for it. No inference runs there.
class OpenCore : public Napi::AsyncWorker {
 public:
  OpenCore(Napi::Env env, std::vector<std::string> preload, std::string core)
      : AsyncWorker(env), deferred_(env), preload_(std::move(preload)), core_(std::move(core)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      open_core(preload_, core_);
    } catch (const CoreLoadError& error) {
      code_ = error.code;
      SetError(error.text);
    }
  }
  void OnOK() override { deferred_.Resolve(Env().Undefined()); }
  void OnError(const Napi::Error& error) override {
    deferred_.Reject(coded_error(Env(), code_, error.Message()).Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::vector<std::string> preload_;
  std::string core_;
  const char* code_ = "ERR_CLIPN_INTERNAL";
};

// openCore(preload: string[], core: string): Promise<void>
Napi::Value open_core_async(const Napi::CallbackInfo& info) {
  std::vector<std::string> preload;
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) preload.push_back(list.Get(i).As<Napi::String>());
  auto worker = std::make_unique<OpenCore>(info.Env(), std::move(preload), info[1].As<Napi::String>());
  const Napi::Promise promise = worker->promise();
  worker.release()->Queue();  // the worker deletes itself when it has settled
  return promise;
}

// describeCore(): {torchVersion, cpuTarget, cpuCapability, cpuBf16, cpuInt8}
Napi::Value describe_core(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  clipn_core_info about{};
  about.size = sizeof(about);
  clipn_error error{};
  const clipn_status status = require_core(env).core_describe(&about, &error);
  if (status != CLIPN_OK) throw coded_error(env, error_code(status), error.text);
  Napi::Object out = Napi::Object::New(env);
  out.Set("torchVersion", about.torch_version);
  out.Set("cpuTarget", about.cpu_target);
  out.Set("cpuCapability", about.cpu_capability);
  out.Set("cpuBf16", about.cpu_bf16 != 0);
  out.Set("cpuInt8", about.cpu_int8 != 0);
  return out;
}

// int8Absence(): why int8 is refused on this CPU; empty when it is not
Napi::Value int8_absence(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const char* absence = nullptr;
  clipn_error error{};
  const clipn_status status = require_core(env).int8_absence(&absence, &error);
  if (status != CLIPN_OK) throw coded_error(env, error_code(status), error.text);
  return Napi::String::New(env, absence);
}

// The driver's start and the plugin's take a second: libuv's pool is the place for them.
class OpenCuda : public Napi::AsyncWorker {
 public:
  OpenCuda(Napi::Env env, const Core& core, std::string plugin)
      : AsyncWorker(env), deferred_(env), core_(core), plugin_(std::move(plugin)) {
    info_.size = sizeof(info_);
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    status_ = core_.cuda_open(plugin_.empty() ? nullptr : plugin_.c_str(), &info_, &error_);
    if (status_ != CLIPN_OK) SetError(error_.text);
  }
  void OnOK() override {
    static constexpr const char* kParts[] = {"", "driver", "device", "architecture", "plugin"};
    Napi::Object out = Napi::Object::New(Env());
    out.Set("missing", info_.missing == CLIPN_CUDA_READY
                           ? Env().Null()
                           : Napi::Value(Napi::String::New(Env(), kParts[info_.missing])));
    out.Set("reason", info_.reason);
    out.Set("driver", info_.driver);
    out.Set("devices", info_.devices);
    out.Set("capability", info_.capability);
    out.Set("memory", static_cast<double>(info_.memory));
    out.Set("name", info_.name);
    deferred_.Resolve(out);
  }
  void OnError(const Napi::Error& error) override {
    deferred_.Reject(coded_error(Env(), error_code(status_), error.Message()).Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  const Core& core_;
  std::string plugin_;
  clipn_cuda_info info_{};
  clipn_error error_{};
  clipn_status status_ = CLIPN_OK;
};

// openCuda(plugin: string): Promise<{missing, reason, driver, devices, capability, memory, name}>; '' for no plugin
Napi::Value open_cuda_async(const Napi::CallbackInfo& info) {
  auto worker = std::make_unique<OpenCuda>(info.Env(), require_core(info.Env()), info[0].As<Napi::String>());
  const Napi::Promise promise = worker->promise();
  worker.release()->Queue();  // the worker deletes itself when it has settled
  return promise;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("openCore", Napi::Function::New<open_core_async>(env, "openCore"));
  exports.Set("describeCore", Napi::Function::New<describe_core>(env, "describeCore"));
  exports.Set("int8Absence", Napi::Function::New<int8_absence>(env, "int8Absence"));
  exports.Set("openCuda", Napi::Function::New<open_cuda_async>(env, "openCuda"));
  exports.Set("closeModel", Napi::Function::New<close_model>(env, "closeModel"));
  exports.Set("closeTeacher", Napi::Function::New<close_teacher>(env, "closeTeacher"));
  exports.Set("Lane", Lane::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(clipn_native, init)
