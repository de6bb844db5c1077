// A CUDA plugin for tests, without CUDA: CLIPN_FAKE_PLUGIN names how it fails ("architecture", "lost", "memory").
#include "cuda/plugin.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "error.h"

namespace clipn {
namespace {

bool fails(const char* how) {
  const char* wanted = std::getenv("CLIPN_FAKE_PLUGIN");
  return wanted != nullptr && std::strcmp(wanted, how) == 0;
}

void check() {
  if (fails("architecture")) throw Error(CLIPN_DEVICE_UNAVAILABLE, "no kernel image for this device");
}

// Every image's feature is the first unit vector of the width that the module's encode_image gives.
class FakeTowers : public PackedTowers {
 public:
  explicit FakeTowers(torch::jit::Module module) : module_(std::move(module)) {}

  at::Tensor encode_images(const clipn_image_batch& batch) override {
    if (fails("lost")) throw Error(CLIPN_DEVICE_LOST, "the GPU is lost to this process: an illegal memory access");
    if (fails("memory")) throw Error(CLIPN_OUT_OF_MEMORY, "encode_image: CUDA out of memory");
    const auto pixels = at::zeros({batch.n, 3, batch.side, batch.side});
    auto rows = at::zeros_like(module_.get_method("encode_image")({pixels}).toTensor());
    rows.select(1, 0).fill_(1);
    return rows;
  }
  std::pair<at::Tensor, at::Tensor> encode_image_patches(const clipn_image_batch&) override {
    throw Error(CLIPN_MODEL_CONTRACT, "not faked");
  }
  at::Tensor encode_text(clipn_tower tower, const int64_t* ids, int64_t n, int64_t l) override {
    const char* method = tower == CLIPN_TEXT_YES ? "encode_text_yes" : "encode_text_no";
    return module_.get_method(method)({at::from_blob(const_cast<int64_t*>(ids), {n, l}, at::kLong)}).toTensor();
  }
  void run_image_linears(int64_t) override { throw Error(CLIPN_MODEL_CONTRACT, "not faked"); }

 private:
  torch::jit::Module module_;
};

std::unique_ptr<PackedTowers> open_towers(torch::jit::Module module, clipn_precision, bool) {
  return std::make_unique<FakeTowers>(std::move(module));
}

// No score: what a caller can recognise as the plugin's answer. maxLogit names the bank.
void score(const clipn_score_input& input, const clipn_score_output& output) {
  float* const all[] = {output.ctw, output.atd, output.msp,       output.max_logit, output.energy,
                        output.mcm, output.gap, output.log_p_out, output.log_q_max};
  for (float* rows : all) std::fill_n(rows, input.n, 0.25f);
  std::fill_n(output.max_logit, input.n, static_cast<float>(input.bank_id % 1000));
  for (int64_t i = 0; i < input.n * input.k; ++i) {
    output.top_index[i] = static_cast<int32_t>(i % input.k);
    output.top_p[i] = output.top_p_yes[i] = 0.25f;
  }
}

constexpr CudaPlugin kPlugin = {kCudaPluginVersion, check, open_towers, score};

}  // namespace
}  // namespace clipn

extern "C" __attribute__((visibility("default"))) const clipn::CudaPlugin* clipn_cuda_plugin() {
  return &clipn::kPlugin;
}
