// How a module is recognised: its sizes are read off its weights, the module that export would write for these sizes is
// written again without weights, and the two must print the same programs. So whatever the file computes otherwise, by
// another exporter or a later version of ours, is left alone.
#include "tower/recognise.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/python_print.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "error.h"
#include "tower/module_parts.h"

namespace clipn {
namespace {

using torch::jit::Module;

bool has_method(const Module& module, const char* name) { return module.find_method(name).has_value(); }

uint32_t depth(const Module& transformer) {
  return static_cast<uint32_t>(child(transformer, "resblocks").children().size());
}

// Of the first block; that all have the same, same_weights() tells.
uint32_t mlp_of(const Module& transformer) {
  const Module block = child(child(transformer, "resblocks"), "0");
  return static_cast<uint32_t>(weight(child(child(block, "mlp"), "c_fc"), "weight").size(0));
}

// The heads that `method` passes on: the second argument of its call of transformer.forward(x, heads, causal).
uint32_t heads_of(const Module& module, const char* method) {
  for (torch::jit::Node* node : module.get_method(method).graph()->nodes()) {
    if (node->kind() != c10::prim::CallMethod || node->inputs().size() != 4) continue;
    const auto heads = torch::jit::toIValue(node->input(2));
    if (heads.has_value() && heads->isInt()) return static_cast<uint32_t>(heads->toInt());
  }
  return 0;
}

clipn_architecture architecture_of(const Module& module, bool with_text) {
  clipn_architecture a = {};
  a.size = sizeof(a);
  const Module visual = child(module, "visual");
  const at::Tensor conv1 = weight(child(visual, "conv1"), "weight");
  const auto size = [](int64_t value) { return static_cast<uint32_t>(value); };
  a.vision_width = size(conv1.size(0));
  a.patch_size = size(conv1.size(2));
  // A class token and a square of patches; of any other number the sizes will not be the module's.
  const int64_t patches = weight(visual, "positional_embedding").size(0) - 1;
  const auto grid = static_cast<int64_t>(std::sqrt(std::max(0.0, static_cast<double>(patches))));
  a.image_size = size(grid * conv1.size(2));
  a.embed_dim = size(weight(visual, "proj").size(1));
  a.vision_layers = depth(child(visual, "transformer"));
  a.vision_heads = heads_of(visual, "tokens");
  a.vision_mlp = mlp_of(child(visual, "transformer"));
  if (with_text) {
    a.vocab_size = size(weight(child(module, "token_embedding"), "weight").size(0));
    a.text_width = size(weight(module, "text_projection").size(0));
    a.context_length = size(weight(module, "positional_embedding").size(0));
    a.text_layers = depth(child(module, "transformer"));
    a.text_heads = heads_of(module, "encode_text_yes");
    a.text_mlp = mlp_of(child(module, "transformer"));
  }
  return a;
}

// Numbered local names by order of appearance in their function: printing numbers them otherwise each time. Attributes
// follow a dot and keep their names.
std::string with_plain_names(const std::string& program) {
  static const std::regex numbered("(^|[^.\\w])([a-z_]\\w*\\d)(?!\\w)|\\bdef ");
  std::string out;
  std::map<std::string, size_t> names;
  auto last = program.begin();
  for (std::sregex_iterator match(program.begin(), program.end(), numbered), end; match != end; ++match) {
    out.append(last, (*match)[0].first);
    last = (*match)[0].second;
    if (!(*match)[2].matched) {
      names.clear();
      out += "def ";
      continue;
    }
    const size_t number = names.emplace(match->str(2), names.size()).first->second;
    out += match->str(1) + "v" + std::to_string(number);
  }
  return out.append(last, program.end());
}

// The programs of a module as text; nothing for one with constant tensors, which export never writes.
std::optional<std::map<std::string, std::string>> programs(const Module& module) {
  torch::jit::ExtraFilesMap sources;
  std::vector<c10::IValue> constants;
  torch::jit::jitModuleToPythonCodeAndConstants(module, &sources, &constants);
  if (!constants.empty()) return std::nullopt;
  std::map<std::string, std::string> out;
  for (const auto& [name, text] : sources) out.emplace(name, with_plain_names(text));
  return out;
}

// Sizes that no program mentions are checked here: the packed towers would read past a smaller weight.
bool same_weights(const Module& module, const Module& authored) {
  const auto theirs = module.named_parameters(), ours = authored.named_parameters();
  if (theirs.size() != ours.size()) return false;
  auto their = theirs.begin();
  for (const auto& our : ours) {
    const bool same = (*their).name == our.name && (*their).value.sizes() == our.value.sizes();
    if (!same || !(*their).value.is_floating_point()) return false;
    ++their;
  }
  return true;
}

}  // namespace

std::optional<Recognised> recognise(const Module& module) {
  const Towers towers = {.text = has_method(module, "encode_text_yes"),
                         .text_no = has_method(module, "encode_text_no")};
  try {
    clipn_architecture a = architecture_of(module, towers.text);
    // A weight of the right shape without its bytes: programs do not depend on them.
    const WeightSource shape_only = [](const std::string&, const std::vector<int64_t>& shape) {
      return at::zeros({1}).expand(shape);
    };
    const auto theirs = programs(module);
    for (const uint32_t quick_gelu : {0U, 1U}) {
      a.quick_gelu = quick_gelu;
      const Module authored = author_module(a, towers, shape_only);
      if (theirs.has_value() && theirs == programs(authored) && same_weights(module, authored)) {
        return Recognised{a, towers};
      }
    }
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;  // says nothing of the module
    // A part that every exported module has is missing: it is another one. Not c10::Error alone: libtorch reports a
    // missing attribute by an exception of another class.
  }
  return std::nullopt;
}

}  // namespace clipn
