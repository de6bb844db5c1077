// A loaded model file: its methods, its two extra files, and calls that take and give plain float rows.
#pragma once

#include <c10/core/ScalarType.h>
#include <clipn/core.h>

#include <memory>
#include <string>
#include <vector>

#include "tower/packed_towers.h"

namespace torch::jit {
struct Module;
}

namespace clipn {

class Model {
 public:
  // Throws Error: MODEL_NOT_FOUND, MODEL_FORMAT, MODEL_CONTRACT (no encode_image), INVALID_ARG (precision).
  // On CUDA also DEVICE_UNAVAILABLE, DEVICE_LOST and OUT_OF_MEMORY.
  Model(const std::string& path, clipn_precision precision, clipn_device device = CLIPN_CPU, bool image_only = false);
  ~Model();

  uint32_t methods() const { return methods_; }
  // Whether the towers run with packed weights (tower/pack.h) rather than as the file has them.
  bool rewritten() const { return towers_ != nullptr && device_ == CLIPN_CPU; }
  const std::string& clipn_json() const { return clipn_json_; }
  const std::string& tokenizer_json() const { return tokenizer_json_; }

  // features: [images.n, d]. Throws Error MODEL_CONTRACT when the model returns another shape.
  void encode_images(const clipn_image_batch& images, int64_t d, float* features);
  // Also patches: [images.n, p, d].
  void encode_image_patches(const clipn_image_batch& images, int64_t d, int64_t p, float* features, float* patches);
  // Also contributions: [images.n, p, d]; MODEL_CONTRACT when not rewritten.
  void encode_image_contributions(const clipn_image_batch& images, int64_t d, int64_t p, float* features,
                                  float* contributions);
  // ids [n, l] to features [n, d].
  void encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l, int64_t d, float* features);
  // The linears of all image blocks for n images, once, and nothing else. MODEL_CONTRACT when not rewritten.
  void run_image_linears(int64_t n);

 private:
  void require(const char* method, uint32_t bit) const;
  // The batch as the towers take it: on the CPU with images resized into `pixels`.
  clipn_image_batch ready(const clipn_image_batch& images, std::vector<uint8_t>* pixels) const;

  std::string clipn_json_;
  std::string tokenizer_json_;
  std::unique_ptr<torch::jit::Module> module_;       // null when towers_ took its weights
  std::unique_ptr<torch::jit::Module> text_module_;  // in fp32, for text; null when one of the other two has the text
  std::unique_ptr<PackedTowers> towers_;
  clipn_device device_;
  at::ScalarType dtype_;
  uint32_t methods_ = 0;
};

}  // namespace clipn
