// The states of a row's segments to its scores and top list: a warp per row.
// Cost      reads segments * (36 + 12 k) bytes per row; latency decides for few rows.
// Numerics  lane i merges segments i, i + 32, ... in order, then lanes merge pairwise: the order depends on the number
//           of segments alone. The last step is in double (score_state.h).
#include "cuda/score_fold.h"

namespace clipn::cuda {
namespace {

constexpr int kRowsPerBlock = 4;

__global__ void __launch_bounds__(kRowsPerBlock* kLanes)
    fold_rows(Parts parts, Rates rates, double s, bool both, clipn_cuda_scores output, int64_t first_row, int64_t n) {
  const int lane = threadIdx.x % kLanes;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kLanes;
  if (row >= parts.rows) return;  // whole warps

  RowState state = empty_state();
  const RowState* states = parts.states + row * parts.segments;
  for (int64_t i = lane; i < parts.segments; i += kLanes) state = merge(state, states[i], rates);
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) state = merge(state, shuffled(state, offset), rates);

  float scores[kScores];
  const RowTotal total = finish(state, s, both, scores);
  const int64_t to = first_row + row;
  if (lane == 0) {
#pragma unroll
    for (int i = 0; i < kScores; ++i) output.scores[i * n + to] = scores[i];
  }
  const int k = parts.k;
  select_top(parts.tops + row * parts.segments * k, parts.segments * k, k, lane, [&](int i, const TopEntry& entry) {
    const int64_t at = to * k + i;
    output.top_index[at] = total.valid ? entry.index : i;
    output.top_p[at] = total.valid ? static_cast<float>(exp(s * (entry.x - total.m)) / total.l) : NAN;
    output.top_p_yes[at] =
        total.valid && both ? static_cast<float>(sigmoid(s * (static_cast<double>(entry.x) - entry.y))) : NAN;
  });
}

}  // namespace

cudaError_t fold(const Parts& parts, Rates rates, double s, bool both, const clipn_cuda_scores& output,
                 int64_t first_row, int64_t n, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((parts.rows + kRowsPerBlock - 1) / kRowsPerBlock);
  return launch_kernel(fold_rows, dim3(blocks), kRowsPerBlock * kLanes, 0, stream, parts, rates, s, both, output,
                       first_row, n);
}

}  // namespace clipn::cuda

int clipn_cuda_check() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, clipn::cuda::fold_rows);
}
