// TorchScript modules from and to files.
#ifndef CLIPN_MODEL_MODULE_FILE_H_
#define CLIPN_MODEL_MODULE_FILE_H_

#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <string>

namespace clipn {

/// On the CPU; `extra` names the extra files that are wanted and gets what they hold, "" for one that is not there.
/// Throws MODEL_NOT_FOUND, MODEL_FORMAT.
torch::jit::Module load_module(const std::string& path, torch::jit::ExtraFilesMap& extra);

/// Throws IO.
/// @param between called now and then while weights are written
void save_module(
    const torch::jit::Module& module, const char* target, const torch::jit::ExtraFilesMap& extra,
    const std::function<void()>& between = [] {});

}  // namespace clipn

#endif  // CLIPN_MODEL_MODULE_FILE_H_
