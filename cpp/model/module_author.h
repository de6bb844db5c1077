#pragma once

#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <string>
#include <vector>

#include "clipn/core.h"

namespace clipn {

/// Returns the weight of that published name, checked to have that shape.
using WeightSource = std::function<at::Tensor(const std::string& name, const std::vector<int64_t>& shape)>;

struct Towers {
  bool text;     ///< encode_text_yes
  bool text_no;  ///< encode_text_no
};

/// The TorchScript module of a CLIPN, a plain CLIP or an image tower alone: spec 1.2 to 1.5.
torch::jit::Module author_module(const clipn_architecture& architecture, const Towers& towers,
                                 const WeightSource& weight);

}  // namespace clipn
