#include "cuda/open.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "cuda/driver.h"
#include "cuda/plugin.h"
#include "error.h"

namespace clipn {
namespace {

std::mutex mutex;
std::atomic<const CudaPlugin*> opened = nullptr;

template <size_t size>
void copy(const std::string& from, char (&to)[size]) {
  const size_t length = std::min(from.size(), size - 1);
  std::copy_n(from.data(), length, to);
  to[length] = '\0';
}

const CudaPlugin* load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error(CLIPN_DEVICE_UNAVAILABLE, std::string("the CUDA plugin does not load: ") + dlerror());
  const auto entry = reinterpret_cast<decltype(&clipn_cuda_plugin)>(dlsym(library, "clipn_cuda_plugin"));
  const CudaPlugin* plugin = entry == nullptr ? nullptr : entry();
  if (plugin == nullptr || plugin->version != kCudaPluginVersion) {
    throw Error(CLIPN_DEVICE_UNAVAILABLE, std::string(path) + " was built from other sources than the core");
  }
  return plugin;
}

}  // namespace

void open_cuda(const char* path, clipn_cuda_info& out) {
  Gpu gpu = find_gpu();
  if (gpu.missing == CLIPN_CUDA_READY && path != nullptr) {
    const std::lock_guard lock(mutex);
    clipn_cuda_part stage = CLIPN_CUDA_PLUGIN;
    try {
      const CudaPlugin* plugin = opened != nullptr ? opened.load() : load(path);
      stage = CLIPN_CUDA_ARCHITECTURE;
      plugin->check();
      opened = plugin;
    } catch (const Error& error) {
      gpu.missing = error.status() == CLIPN_DEVICE_UNAVAILABLE ? stage : CLIPN_CUDA_DEVICE;
      gpu.reason = error.what();
    }
  }
  out.missing = gpu.missing;
  out.driver = gpu.driver;
  out.devices = gpu.devices;
  out.capability = gpu.capability;
  out.memory = gpu.memory;
  copy(gpu.name, out.name);
  copy(gpu.reason, out.reason);
}

const CudaPlugin& cuda_plugin() {
  const CudaPlugin* plugin = opened;
  if (plugin == nullptr)
    throw Error(CLIPN_DEVICE_UNAVAILABLE, "CUDA was asked for, but clipn_cuda_open has not opened it");
  return *plugin;
}

void score_by_plugin(const clipn_score_input& input, const clipn_score_output& output) {
  cuda_plugin().score(input, output);
}

}  // namespace clipn
