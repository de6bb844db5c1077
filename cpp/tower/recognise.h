// Whether a loaded module is one that export would have written, and of which sizes.
#ifndef CLIPN_TOWER_RECOGNISE_H_
#define CLIPN_TOWER_RECOGNISE_H_

#include <optional>

#include "clipn/core.h"
#include "model/module_author.h"

namespace clipn {

/// What author_module() takes to write such a module.
struct Recognised {
  clipn_architecture architecture;
  Towers text_towers;
};

/// Nothing when the module's programs are not, word for word, those that model/module_author.h writes for its sizes.
std::optional<Recognised> recognise(const torch::jit::Module& module);

}  // namespace clipn

#endif  // CLIPN_TOWER_RECOGNISE_H_
