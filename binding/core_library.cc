#include "core_library.h"

#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <optional>

namespace {

std::mutex mutex;
std::optional<Core> core;
std::atomic<const Core*> published = nullptr;

void* open_library(const std::string& path, const char* code) {
  // RTLD_LOCAL is enough: the loader matches the next library's needs by SONAME.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw CoreLoadError{code, dlerror()};
  return handle;
}

template <typename Function>
void find(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  if (out == nullptr) throw CoreLoadError{"ERR_CLIPN_CORE_ABI", std::string("the core lacks ") + name};
}

Core find_all(void* library) {
  Core found;
  find(library, "clipn_abi_version", found.abi_version);
  const uint32_t major = found.abi_version() >> 16;
  if (major != CLIPN_ABI_VERSION >> 16) {
    throw CoreLoadError{"ERR_CLIPN_CORE_ABI", "the core speaks ABI " + std::to_string(major) + ", this package " +
                                                  std::to_string(CLIPN_ABI_VERSION >> 16)};
  }
  find(library, "clipn_core_describe", found.core_describe);
  find(library, "clipn_int8_absence", found.int8_absence);
  find(library, "clipn_lane_create", found.lane_create);
  find(library, "clipn_lane_post", found.lane_post);
  find(library, "clipn_lane_cancel", found.lane_cancel);
  find(library, "clipn_lane_destroy", found.lane_destroy);
  find(library, "clipn_preprocess", found.preprocess);
  find(library, "clipn_cuda_open", found.cuda_open);
  find(library, "clipn_model_open", found.model_open);
  find(library, "clipn_model_describe", found.model_describe);
  find(library, "clipn_model_close", found.model_close);
  find(library, "clipn_encode_images", found.encode_images);
  find(library, "clipn_encode_image_patches", found.encode_image_patches);
  find(library, "clipn_encode_image_contributions", found.encode_image_contributions);
  find(library, "clipn_encode_text", found.encode_text);
  find(library, "clipn_run_image_linears", found.run_image_linears);
  find(library, "clipn_score", found.score);
  find(library, "clipn_export", found.export_model);
  find(library, "clipn_export_torchscript", found.export_torchscript);
  find(library, "clipn_teacher_open", found.teacher_open);
  find(library, "clipn_teacher_step", found.teacher_step);
  find(library, "clipn_teacher_read", found.teacher_read);
  find(library, "clipn_teacher_close", found.teacher_close);
  return found;
}

}  // namespace

const Core& open_core(const std::vector<std::string>& preload, const std::string& core_path) {
  const std::lock_guard lock(mutex);
  if (!core) {
    for (const std::string& path : preload) open_library(path, "ERR_CLIPN_LIBTORCH_LOAD");
    core = find_all(open_library(core_path, "ERR_CLIPN_LIBTORCH_LOAD"));
    published = &*core;
  }
  return *core;
}

const Core* opened_core() { return published; }
