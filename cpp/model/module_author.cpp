#include "model/module_author.h"

#include <ATen/core/jit_type.h>

#include <map>
#include <memory>

namespace clipn {
namespace {

using torch::jit::Module;
using Values = std::map<std::string, std::string>;

// The programs. {name} is filled in by fill(); every number that differs between models is such a name.

constexpr const char* kNorm = R"(
def forward(self, x):
    return torch.layer_norm(x, [x.size(-1)], self.weight, self.bias, 1e-5)
)";

constexpr const char* kLinear = R"(
def forward(self, x):
    return torch.linear(x, self.weight, self.bias)
)";

constexpr const char* kAttention = R"(
def forward(self, x, heads: int, causal: bool):
    n, l, w = x.size(0), x.size(1), x.size(2)
    qkv = torch.linear(x, self.in_proj_weight, self.in_proj_bias)
    qkv = qkv.view([n, l, 3, heads, w // heads]).permute([2, 0, 3, 1, 4])
    y = torch.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], None, 0.0, causal)
    return self.out_proj.forward(y.transpose(1, 2).reshape([n, l, w]))
)";

constexpr const char* kGelu = R"(
def forward(self, x):
    return self.c_proj.forward(torch.gelu(self.c_fc.forward(x)))
)";

constexpr const char* kQuickGelu = R"(
def forward(self, x):
    y = self.c_fc.forward(x)
    return self.c_proj.forward(y * torch.sigmoid(1.702 * y))
)";

constexpr const char* kBlock = R"(
def forward(self, x, heads: int, causal: bool):
    x = x + self.attn.forward(self.ln_1.forward(x), heads, causal)
    return x + self.mlp.forward(self.ln_2.forward(x))
)";

// Tokens after the last block [N, 1 + P, width]; project() goes on from any of them.
constexpr const char* kVision = R"(
def tokens(self, pixels):
    w = self.conv1.weight
    x = torch.conv2d(pixels.type_as(w), w, None, [{patch}, {patch}]).flatten(2).transpose(1, 2)
    x = torch.cat([self.class_embedding.expand([x.size(0), 1, -1]), x], 1) + self.positional_embedding
    return self.transformer.forward(self.ln_pre.forward(x), {heads}, False)

def project(self, x):
    return torch.matmul(self.ln_post.forward(x), self.proj)
)";

constexpr const char* kImageMethods = R"(
def unit(self, x):
    x = x.to({float32})
    return x / torch.linalg_vector_norm(x, 2, [-1], True).clamp_min(1e-12)

def encode_image(self, pixels):
    return self.unit(self.visual.project(self.visual.tokens(pixels)[:, 0]))

def encode_image_patches(self, pixels):
    y = self.unit(self.visual.project(self.visual.tokens(pixels)))
    return y[:, 0], y[:, 1:]
)";

// ln_final works row by row, so the read-out row is taken first.
constexpr const char* kTextMethod = R"(
def encode_text_{tower}(self, ids):
    x = torch.embedding(self.token_embedding{no}.weight, ids) + self.positional_embedding{no}[:ids.size(1)]
    x = self.transformer{no}.forward(x, {heads}, True)
    x = x[torch.arange(ids.size(0), device=ids.device), ids.argmax(1)]
    return self.unit(torch.matmul(self.ln_final{no}.forward(x), self.text_projection{no}))
)";

std::string fill(std::string text, const Values& values) {
  for (const auto& [name, value] : values) {
    const std::string hole = "{" + name + "}";
    for (size_t at = text.find(hole); at != std::string::npos; at = text.find(hole, at + value.size())) {
      text.replace(at, hole.size(), value);
    }
  }
  return text;
}

/// Builds the module tree. Modules of one class share one TorchScript class, so the file holds each program once.
class Author {
 public:
  Author(const clipn_architecture& architecture, const WeightSource& weight)
      : arch_(architecture), weight_(weight), unit_(std::make_shared<torch::jit::CompilationUnit>()) {}

  Module build(const Towers& towers) {
    Module root = begin("Clipn");
    root.register_module("visual", vision("visual."));
    std::string program = fill(kImageMethods, {{"float32", std::to_string(static_cast<int>(at::kFloat))}});
    if (towers.text) program += text(root, "yes", "");
    if (towers.text_no) program += text(root, "no", "_no");
    return end(root, "Clipn", program);
  }

 private:
  using Shape = std::vector<int64_t>;

  Module begin(const std::string& name) {
    const auto known = classes_.find(name);
    Module module = known == classes_.end() ? Module(c10::QualifiedName("__torch__.clipn." + name), unit_)
                                            : Module(unit_, known->second);
    module.register_attribute("training", c10::BoolType::get(), false);
    return module;
  }

  Module end(Module module, const std::string& name, const std::string& program) {
    if (classes_.emplace(name, module.type()).second && !program.empty()) module.define(program);
    return module;
  }

  void parameter(Module& module, const std::string& prefix, const std::string& name, const Shape& shape) {
    module.register_parameter(name, weight_(prefix + name, shape), /*is_buffer=*/false);
  }

  Module norm(const std::string& prefix, int64_t width) {
    Module module = begin("LayerNorm");
    parameter(module, prefix, "weight", {width});
    parameter(module, prefix, "bias", {width});
    return end(module, "LayerNorm", kNorm);
  }

  Module linear(const std::string& prefix, int64_t out, int64_t in) {
    Module module = begin("Linear");
    parameter(module, prefix, "weight", {out, in});
    parameter(module, prefix, "bias", {out});
    return end(module, "Linear", kLinear);
  }

  /// A module that only holds `weight`.
  Module holder(const std::string& name, const std::string& prefix, const Shape& shape) {
    Module module = begin(name);
    parameter(module, prefix, "weight", shape);
    return end(module, name, "");
  }

  Module attention(const std::string& prefix, int64_t width) {
    Module module = begin("Attention");
    parameter(module, prefix, "in_proj_weight", {3 * width, width});
    parameter(module, prefix, "in_proj_bias", {3 * width});
    module.register_module("out_proj", linear(prefix + "out_proj.", width, width));
    return end(module, "Attention", kAttention);
  }

  Module mlp(const std::string& prefix, int64_t width, int64_t hidden) {
    Module module = begin("Mlp");
    module.register_module("c_fc", linear(prefix + "c_fc.", hidden, width));
    module.register_module("c_proj", linear(prefix + "c_proj.", width, hidden));
    return end(module, "Mlp", arch_.quick_gelu ? kQuickGelu : kGelu);
  }

  Module block(const std::string& prefix, int64_t width, int64_t hidden) {
    Module module = begin("Block");
    module.register_module("ln_1", norm(prefix + "ln_1.", width));
    module.register_module("attn", attention(prefix + "attn.", width));
    module.register_module("ln_2", norm(prefix + "ln_2.", width));
    module.register_module("mlp", mlp(prefix + "mlp.", width, hidden));
    return end(module, "Block", kBlock);
  }

  Module transformer(const std::string& prefix, uint32_t layers, int64_t width, int64_t hidden) {
    const std::string depth = std::to_string(layers);
    std::string program = "def forward(self, x, heads: int, causal: bool):\n";
    Module blocks = begin("Blocks" + depth);
    for (uint32_t i = 0; i < layers; ++i) {
      const std::string index = std::to_string(i);
      blocks.register_module(index, block(prefix + "resblocks." + index + ".", width, hidden));
      program += "    x = getattr(self.resblocks, \"" + index + "\").forward(x, heads, causal)\n";
    }
    Module module = begin("Transformer" + depth);
    module.register_module("resblocks", end(blocks, "Blocks" + depth, ""));
    return end(module, "Transformer" + depth, program + "    return x\n");
  }

  Module vision(const std::string& prefix) {
    const int64_t width = arch_.vision_width, patch = arch_.patch_size, grid = arch_.image_size / patch;
    Module module = begin("Vision");
    module.register_module("conv1", holder("Conv", prefix + "conv1.", {width, 3, patch, patch}));
    parameter(module, prefix, "class_embedding", {width});
    parameter(module, prefix, "positional_embedding", {1 + grid * grid, width});
    module.register_module("ln_pre", norm(prefix + "ln_pre.", width));
    module.register_module("transformer",
                           transformer(prefix + "transformer.", arch_.vision_layers, width, arch_.vision_mlp));
    module.register_module("ln_post", norm(prefix + "ln_post.", width));
    parameter(module, prefix, "proj", {width, arch_.embed_dim});
    return end(module, "Vision",
               fill(kVision, {{"patch", std::to_string(patch)}, {"heads", std::to_string(arch_.vision_heads)}}));
  }

  /// Registers one text tower on the root, under the published names; returns its program.
  std::string text(Module& root, const std::string& tower, const std::string& no) {
    const int64_t width = arch_.text_width;
    root.register_module("token_embedding" + no,
                         holder("Embedding", "token_embedding" + no + ".", {arch_.vocab_size, width}));
    parameter(root, "", "positional_embedding" + no, {arch_.context_length, width});
    root.register_module("transformer" + no,
                         transformer("transformer" + no + ".", arch_.text_layers, width, arch_.text_mlp));
    root.register_module("ln_final" + no, norm("ln_final" + no + ".", width));
    parameter(root, "", "text_projection" + no, {width, arch_.embed_dim});
    return fill(kTextMethod, {{"tower", tower}, {"no", no}, {"heads", std::to_string(arch_.text_heads)}});
  }

  const clipn_architecture& arch_;
  const WeightSource& weight_;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::map<std::string, c10::ClassTypePtr> classes_;
};

}  // namespace

Module author_module(const clipn_architecture& architecture, const Towers& towers, const WeightSource& weight) {
  return Author(architecture, weight).build(towers);
}

}  // namespace clipn
