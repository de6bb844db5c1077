// Parts of a TorchScript module by name. Each throws what libtorch throws when there is none of that name and type.
#ifndef CLIPN_TOWER_MODULE_PARTS_H_
#define CLIPN_TOWER_MODULE_PARTS_H_

#include <torch/csrc/jit/api/module.h>

#include <string>

namespace clipn {

inline torch::jit::Module child(const torch::jit::Module& module, const std::string& name) {
  return module.attr(name).toModule();
}

inline at::Tensor weight(const torch::jit::Module& module, const std::string& name) {
  return module.attr(name).toTensor();
}

}  // namespace clipn

#endif  // CLIPN_TOWER_MODULE_PARTS_H_
