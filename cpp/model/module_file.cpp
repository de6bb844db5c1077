#include "model/module_file.h"

#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>

#include "error.h"

namespace clipn {
namespace {

constexpr size_t kBetween = size_t{64} << 20;  // bytes written between two calls of `between`

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

torch::jit::Module load_module(const std::string& path, torch::jit::ExtraFilesMap& extra) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    throw Error(CLIPN_MODEL_NOT_FOUND, "no model file at " + path);
  }
  try {
    return torch::jit::load(path, at::kCPU, extra);
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    throw Error(CLIPN_MODEL_FORMAT,
                path + " is not a model file, or it is damaged: " + std::string(first_line(e.what())));
  }
}

void save_module(const torch::jit::Module& module, const char* target, const torch::jit::ExtraFilesMap& extra,
                 const std::function<void()>& between) {
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(target, "wb"));
  const auto failure = [target](int code) {
    return Error(CLIPN_IO, std::string("cannot write ") + target + ": " + std::strerror(code));
  };
  if (!file) throw failure(errno);
  int code = 0;
  size_t written = 0;
  // libtorch's writer, told of a failure, throws again in its destructor, which ends the process: it is told of none.
  const auto write = [&](const void* bytes, size_t count) -> size_t {
    if (code == 0 && std::fwrite(bytes, 1, count, file.get()) != count) code = errno;
    written += count;
    if (written >= kBetween) {
      between();
      written = 0;
    }
    return count;
  };
  torch::jit::ExportModule(module, write, extra);
  if (code != 0) throw failure(code);
  if (std::fclose(file.release()) != 0) throw failure(errno);
}

}  // namespace clipn
