// What the CUDA plugin (libclipn_cuda-<minor>.so) gives the core. Both are built together, for one libtorch minor; C++
// objects and exceptions cross between them. The core itself links nothing of CUDA.
#ifndef CLIPN_CUDA_PLUGIN_H_
#define CLIPN_CUDA_PLUGIN_H_

#include <memory>

#include "clipn/core.h"
#include "tower/packed_towers.h"

namespace torch::jit {
struct Module;
}

namespace clipn {

struct CudaPlugin {
  uint32_t version;  // kCudaPluginVersion of the sources it was built from

  // Makes sure that device 0 can run the plugin's kernels. Throws Error(DEVICE_UNAVAILABLE, DEVICE_LOST).
  void (*check)();

  // The towers of `module` on device 0; the module's weights move there. With `text` those of the text towers are there
  // in fp32, whatever the precision of the image tower. Throws Error.
  std::unique_ptr<PackedTowers> (*open_towers)(torch::jit::Module module, clipn_precision precision, bool text);

  // As score() of score/score.h, for arguments that it has checked: no logits, no words, k <= 16. Throws Error.
  void (*score)(const clipn_score_input& input, const clipn_score_output& output);
};

constexpr uint32_t kCudaPluginVersion = 4;

}  // namespace clipn

extern "C" const clipn::CudaPlugin* clipn_cuda_plugin();

#endif  // CLIPN_CUDA_PLUGIN_H_
