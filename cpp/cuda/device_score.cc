// Scores on device 0: features and banks in host memory, the kernels of launch.h in between.
#include "cuda/device_score.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>

#include "cuda/checked.h"
#include "cuda/launch.h"

namespace clipn {
namespace {

constexpr int64_t kRowStep = 32;                        // floats in 128 bytes: rows are padded to it with zeros
constexpr int64_t kWorkspaceBytes = int64_t{60} << 20;  // more images than it holds are taken in rounds
constexpr size_t kBanks = 4;                            // kept on the device, the least recently used goes

at::Tensor on_device(const float* rows, int64_t count, int64_t d) {
  const auto whole = at::from_blob(const_cast<float*>(rows), {count, d}, at::kFloat);
  const int64_t missing = (kRowStep - d % kRowStep) % kRowStep;
  return (missing == 0 ? whole : at::constant_pad_nd(whole, {0, missing})).to(at::kCUDA);
}

struct Bank {
  uint64_t id;
  int64_t c, d;
  at::Tensor yes, no;  // no undefined: a plain CLIP

  // Whether the kernels read no more of it than there is, whatever its id says.
  bool serves(const clipn_score_input& input) const {
    return id == input.bank_id && c == input.c && d == input.d && no.defined() == (input.bank_no != nullptr);
  }
};

std::mutex mutex;
std::list<Bank> banks;  // the last used first

Bank bank_of(const clipn_score_input& input) {
  const auto made = [&] {
    return Bank{input.bank_id, input.c, input.d, on_device(input.bank_yes, input.c, input.d),
                input.bank_no == nullptr ? at::Tensor() : on_device(input.bank_no, input.c, input.d)};
  };
  if (input.bank_id == 0) return made();
  const std::lock_guard lock(mutex);
  const auto known = std::find_if(banks.begin(), banks.end(), [&](const Bank& bank) { return bank.serves(input); });
  if (known == banks.end()) {
    if (banks.size() == kBanks) banks.pop_back();
    banks.push_front(made());
  } else {
    banks.splice(banks.begin(), banks, known);
  }
  return banks.front();
}

template <typename T>
void copy_out(const at::Tensor& from, T* to) {
  const auto host = from.to(at::kCPU);  // waits for the stream
  std::memcpy(to, host.const_data_ptr<T>(), static_cast<size_t>(host.numel()) * sizeof(T));
}

}  // namespace

void score_on_cuda(const clipn_score_input& input, const clipn_score_output& output) {
  translated("scoring", [&] {
    const c10::InferenceMode no_grad;
    const Bank bank = bank_of(input);
    const at::Tensor features = on_device(input.features, input.n, input.d);
    const auto floats = at::TensorOptions(at::kCUDA).dtype(at::kFloat);
    const int64_t n = input.n, k = input.k;
    const at::Tensor scores = at::empty({9, n}, floats), top_p = at::empty({n, k}, floats),
                     top_p_yes = at::empty({n, k}, floats), top_index = at::empty({n, k}, floats.dtype(at::kInt));
    const auto k32 = static_cast<int32_t>(k);
    const int64_t least = clipn_cuda_features_workspace(std::min<int64_t>(n, 64), input.c, k32);
    const int64_t bytes = std::max(least, std::min(kWorkspaceBytes, clipn_cuda_features_workspace(n, input.c, k32)));
    const at::Tensor workspace = at::empty({bytes}, floats.dtype(at::kByte));

    const clipn_cuda_features in = {features.const_data_ptr(),
                                    bank.yes.const_data_ptr(),
                                    bank.no.defined() ? bank.no.const_data_ptr() : nullptr,
                                    n,
                                    input.c,
                                    features.size(1),
                                    CLIPN_CUDA_FP32,
                                    k32,
                                    input.scale};
    const clipn_cuda_scores out = {scores.mutable_data_ptr<float>(), top_index.mutable_data_ptr<int32_t>(),
                                   top_p.mutable_data_ptr<float>(),  top_p_yes.mutable_data_ptr<float>(),
                                   workspace.mutable_data_ptr(),     bytes};
    check_cuda("scoring", clipn_cuda_score_features(&in, &out, c10::cuda::getCurrentCUDAStream(0).stream()));

    float* const rows[9] = {output.ctw, output.atd, output.msp,       output.max_logit, output.energy,
                            output.mcm, output.gap, output.log_p_out, output.log_q_max};
    const auto host = scores.to(at::kCPU);
    for (int i = 0; i < 9; ++i) {
      std::memcpy(rows[i], host.const_data_ptr<float>() + i * n, static_cast<size_t>(n) * sizeof(float));
    }
    if (k > 0) {
      copy_out(top_index, output.top_index);
      copy_out(top_p, output.top_p);
      copy_out(top_p_yes, output.top_p_yes);
    }
  });
}

}  // namespace clipn
