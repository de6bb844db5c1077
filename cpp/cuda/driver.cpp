#include "cuda/driver.h"

#include <dlfcn.h>

namespace clipn {
namespace {

constexpr int kOldest = 75;

// The driver's calls, numbers and types as in cuda.h, whose ABI is fixed.
constexpr int kNoDevice = 100;
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;

struct Driver {
  int (*init)(unsigned);
  int (*version)(int*);
  int (*count)(int*);
  int (*get)(int*, int);
  int (*name)(char*, int, int);
  int (*attribute)(int*, int, int);
  int (*memory)(size_t*, int);
};

template <typename Function>
bool find(void* library, const char* symbol, Function& out) {
  out = reinterpret_cast<Function>(dlsym(library, symbol));
  return out != nullptr;
}

Gpu without(Gpu gpu, clipn_cuda_part part, const std::string& reason) {
  gpu.missing = part;
  gpu.reason = reason;
  return gpu;
}

}  // namespace

Gpu find_gpu(const char* library) {
  Gpu gpu;
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return without(gpu, CLIPN_CUDA_DRIVER, std::string("no NVIDIA driver: ") + dlerror());
  Driver driver{};
  if (!find(handle, "cuInit", driver.init) || !find(handle, "cuDriverGetVersion", driver.version) ||
      !find(handle, "cuDeviceGetCount", driver.count) || !find(handle, "cuDeviceGet", driver.get) ||
      !find(handle, "cuDeviceGetName", driver.name) || !find(handle, "cuDeviceGetAttribute", driver.attribute) ||
      !find(handle, "cuDeviceTotalMem_v2", driver.memory)) {
    return without(gpu, CLIPN_CUDA_DRIVER, std::string(library) + " is no NVIDIA driver: calls are missing");
  }
  if (driver.version(&gpu.driver) != 0) gpu.driver = 0;
  const int started = driver.init(0);
  if (started != 0 && started != kNoDevice) {
    return without(gpu, CLIPN_CUDA_DRIVER,
                   "the NVIDIA driver does not start: cuInit returned " + std::to_string(started));
  }
  if (started == kNoDevice || driver.count(&gpu.devices) != 0 || gpu.devices == 0) {
    return without(gpu, CLIPN_CUDA_DEVICE, "the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES may hide it)");
  }
  int device = 0, major = 0, minor = 0;
  char name[256] = {};
  size_t memory = 0;
  if (driver.get(&device, 0) != 0 || driver.name(name, sizeof name - 1, device) != 0 ||
      driver.attribute(&major, kCapabilityMajor, device) != 0 ||
      driver.attribute(&minor, kCapabilityMinor, device) != 0 || driver.memory(&memory, device) != 0) {
    return without(gpu, CLIPN_CUDA_DEVICE, "the NVIDIA driver lists a GPU but does not describe it");
  }
  gpu.name = name;
  gpu.memory = memory;
  gpu.capability = major * 10 + minor;
  if (gpu.capability < kOldest) {
    return without(gpu, CLIPN_CUDA_ARCHITECTURE,
                   gpu.name + " has compute capability " + std::to_string(major) + "." + std::to_string(minor) +
                       "; 7.5 (Turing) or newer is needed");
  }
  gpu.missing = CLIPN_CUDA_READY;
  return gpu;
}

}  // namespace clipn
