// One method of a TorchScript module on one tensor.
#ifndef CLIPN_MODEL_RUN_METHOD_H_
#define CLIPN_MODEL_RUN_METHOD_H_

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

namespace clipn {

/// Throws MODEL_CONTRACT with the cause when the method fails, OUT_OF_MEMORY.
c10::IValue run_method(const torch::jit::Module& module, const char* method, at::Tensor input);

}  // namespace clipn

#endif  // CLIPN_MODEL_RUN_METHOD_H_
