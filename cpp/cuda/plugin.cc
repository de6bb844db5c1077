#include "cuda/plugin.h"

#include <ATen/Context.h>

#include "cuda/checked.h"
#include "cuda/device_score.h"
#include "cuda/launch.h"
#include "cuda/towers.h"

namespace clipn {
namespace {

void check_device() {
  check_cuda("the kernels on this GPU", clipn_cuda_check());
  translated("starting libtorch's CUDA side", [] {
    at::globalContext().lazyInitDevice(at::kCUDA);
    // fp32 means fp32: the same verdict as on the CPU.
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setAllowTF32CuDNN(false);
  });
}

constexpr CudaPlugin kPlugin = {kCudaPluginVersion, check_device, open_cuda_towers, score_on_cuda};

}  // namespace
}  // namespace clipn

extern "C" __attribute__((visibility("default"))) const clipn::CudaPlugin* clipn_cuda_plugin() {
  return &clipn::kPlugin;
}
