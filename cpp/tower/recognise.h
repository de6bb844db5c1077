// The rewrite of a loaded module: its weights packed for this machine, its programs replaced by our own.
#ifndef CLIPN_TOWER_RECOGNISE_H_
#define CLIPN_TOWER_RECOGNISE_H_

#include <memory>

#include "tower/packed_towers.h"

namespace torch::jit {
struct Module;
}

namespace clipn {

/// The towers of `module`, or null when it is to be run as it is: when its programs are not, word for word, those that
/// model/module_author.h writes for its sizes, when a size does not fit the kernels, or when this machine lacks them.
/// Takes the weights out of a module that it rewrites, which is then of no more use.
/// @param precision CLIPN_FP32 or CLIPN_BF16
std::unique_ptr<PackedTowers> rewrite(torch::jit::Module& module, clipn_precision precision);

}  // namespace clipn

#endif  // CLIPN_TOWER_RECOGNISE_H_
