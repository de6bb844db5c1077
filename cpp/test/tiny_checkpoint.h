// A CLIPN small enough to follow by hand: the residual branches of its blocks are zero, so that each tower is
// normalise(LayerNorm(x) @ projection) for a known x.
#ifndef CLIPN_TEST_TINY_CHECKPOINT_H_
#define CLIPN_TEST_TINY_CHECKPOINT_H_

#include <clipn/core.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace clipn {

// Removes itself.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "clipn-core-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

class TinyCheckpoint {
 public:
  static constexpr int64_t kEmbed = 3, kSide = 4, kPatch = 2, kWidth = 4, kContext = 5, kVocabulary = 7, kPrompts = 2;
  // Not 4 times the width, and not the same.
  static constexpr int64_t kVisionHidden = 10, kTextHidden = 6;

  explicit TinyCheckpoint(const std::string& path) : path_(path) {
    const int64_t w = kWidth;
    random("visual.class_embedding", {w});
    random("visual.positional_embedding", {1 + (kSide / kPatch) * (kSide / kPatch), w});
    random("visual.conv1.weight", {w, 3, kPatch, kPatch});
    random("visual.proj", {w, kEmbed});
    norm("visual.ln_pre");
    norm("visual.ln_post");
    block("visual.transformer.resblocks.0", kVisionHidden);
    for (const std::string no : {"", "_no"}) {
      random("token_embedding" + no + ".weight", {kVocabulary, w});
      random("positional_embedding" + no, {kContext, w});
      block("transformer" + no + ".resblocks.0", kTextHidden);
      norm("ln_final" + no);
      random("text_projection" + no, {w, kEmbed});
    }
    random("prompt_no", {kPrompts, kContext, w});
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(values_.data()), static_cast<std::streamsize>(values_.size() * 4));
  }

  clipn_export_options options(const std::string& target) const {
    clipn_export_options options = {};
    options.size = sizeof(options);
    options.checkpoint = path_.c_str();
    options.target = target.c_str();
    options.tensors = tensors.data();
    options.tensor_count = tensors.size();
    options.architecture = &architecture;
    options.dtype = CLIPN_FP32;
    options.clipn_json = R"({"a":1})";
    options.tokenizer_json = R"({"b":2})";
    return options;
  }

  clipn_tensor& tensor(const std::string& name) {
    for (clipn_tensor& each : tensors) {
      if (name == each.name) return each;
    }
    throw std::out_of_range(name);
  }

  // Row `index` of a tensor whose rows have kWidth elements.
  std::vector<double> row(const std::string& name, int64_t index) {
    const float* first = values_.data() + tensor(name).offset / 4 + index * kWidth;
    return {first, first + kWidth};
  }

  // normalise(x @ projection)
  std::vector<double> projected(const std::vector<double>& x, const std::string& projection) {
    const float* matrix = values_.data() + tensor(projection).offset / 4;
    std::vector<double> y(kEmbed);
    double square = 0;
    for (int64_t j = 0; j < kEmbed; ++j) {
      for (int64_t i = 0; i < kWidth; ++i) y[j] += x[i] * matrix[i * kEmbed + j];
      square += y[j] * y[j];
    }
    for (double& value : y) value /= std::sqrt(square);
    return y;
  }

  static std::vector<double> layer_norm(std::vector<double> x) {
    double mean = 0, variance = 0;
    for (const double value : x) mean += value / kWidth;
    for (const double value : x) variance += (value - mean) * (value - mean) / kWidth;
    for (double& value : x) value = (value - mean) / std::sqrt(variance + 1e-5);
    return x;
  }

  std::vector<clipn_tensor> tensors;
  clipn_architecture architecture = {sizeof(clipn_architecture),
                                     kEmbed,
                                     kSide,
                                     kPatch,
                                     kWidth,
                                     2,
                                     1,
                                     kContext,
                                     kVocabulary,
                                     kWidth,
                                     2,
                                     1,
                                     0,
                                     kVisionHidden,
                                     kTextHidden};

 private:
  template <typename Next>
  void add(const std::string& name, std::vector<int64_t> shape, const Next& next) {
    std::vector<int64_t>& stride = shapes_.emplace_back(shape.size());
    int64_t count = 1;
    for (size_t i = shape.size(); i-- > 0; count *= shape[i]) stride[i] = count;
    const std::vector<int64_t>& kept = shapes_.emplace_back(std::move(shape));
    tensors.push_back({names_.emplace_back(name).c_str(), "float32", kept.data(), stride.data(),
                       static_cast<uint32_t>(kept.size()), values_.size() * 4});
    for (int64_t i = 0; i < count; ++i) values_.push_back(next());
  }

  void random(const std::string& name, std::vector<int64_t> shape) {
    add(name, std::move(shape), [this] {
      state_ = state_ * 1664525u + 1013904223u;
      return static_cast<float>(state_ >> 8) / (1 << 23) - 1;
    });
  }
  void constant(const std::string& name, std::vector<int64_t> shape, float value) {
    add(name, std::move(shape), [value] { return value; });
  }
  void norm(const std::string& name) {
    constant(name + ".weight", {kWidth}, 1);
    constant(name + ".bias", {kWidth}, 0);
  }
  void block(const std::string& name, int64_t hidden) {
    norm(name + ".ln_1");
    random(name + ".attn.in_proj_weight", {3 * kWidth, kWidth});
    random(name + ".attn.in_proj_bias", {3 * kWidth});
    constant(name + ".attn.out_proj.weight", {kWidth, kWidth}, 0);
    constant(name + ".attn.out_proj.bias", {kWidth}, 0);
    norm(name + ".ln_2");
    random(name + ".mlp.c_fc.weight", {hidden, kWidth});
    random(name + ".mlp.c_fc.bias", {hidden});
    constant(name + ".mlp.c_proj.weight", {kWidth, hidden}, 0);
    constant(name + ".mlp.c_proj.bias", {kWidth}, 0);
  }

  std::string path_;
  std::vector<float> values_;
  std::deque<std::string> names_;  // deques: tensors point into them
  std::deque<std::vector<int64_t>> shapes_;
  uint32_t state_ = 1;
};

}  // namespace clipn

#endif  // CLIPN_TEST_TINY_CHECKPOINT_H_
