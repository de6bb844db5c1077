// The weights of a recognised module, packed for this machine, and our own programs in the place of the module's.
#ifndef CLIPN_TOWER_PACK_H_
#define CLIPN_TOWER_PACK_H_

#include <memory>

#include "tower/packed_towers.h"

namespace torch::jit {
struct Module;
}

namespace clipn {

/// The towers of `module`, the image tower in `precision` and the text towers in fp32, or null when it is to be run as
/// it is: when recognise() does not know it, when a size does not fit the kernels, or when this machine lacks them.
/// Takes the weights out of a module that it packs, which is then of no more use.
/// @param precision CLIPN_FP32, CLIPN_BF16 or CLIPN_INT8 (where int8_absence() is empty)
/// @param image_only leaves the text towers out
std::unique_ptr<PackedTowers> pack_towers(torch::jit::Module& module, clipn_precision precision,
                                          bool image_only = false);

}  // namespace clipn

#endif  // CLIPN_TOWER_PACK_H_
