// The towers of a model on device 0.
#ifndef CLIPN_CUDA_TOWERS_H_
#define CLIPN_CUDA_TOWERS_H_

#include <memory>

#include "tower/packed_towers.h"

namespace torch::jit {
struct Module;
}

namespace clipn {

// Moves the module's weights to device 0 in the precision's type; with `text`, where that is not fp32, a second copy of
// all of them in fp32, which encodes text. Throws Error.
std::unique_ptr<PackedTowers> open_cuda_towers(torch::jit::Module module, clipn_precision precision, bool text);

}  // namespace clipn

#endif  // CLIPN_CUDA_TOWERS_H_
