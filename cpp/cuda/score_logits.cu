// Scores from logits: one pass over a and b (spec 3).
// Shapes    a, b [N, C]; a warp per row up to 1024 classes, above it a block of 256 threads per row and 16,384 classes.
// Cost      reads 8 N C bytes once, in 16-byte streams where rows are aligned (C a multiple of 4), else in words; four
//           2^v and a reciprocal per pair. Bound by memory.
// Numerics  fp32 as in score_state.h; a = -infinity (a masked class) counts as absent. Which thread takes which column
//           depends on C alone.
#include "cuda/score_fold.h"

namespace clipn::cuda {
namespace {

constexpr int kBlockWarps = kBlockThreads / kLanes;

struct Arguments {
  const float *yes, *no;
  int64_t n, c;
  Rates rates;
  Parts parts;
};

// NaN stays NaN.
__device__ __forceinline__ float at_least_absent(float value) { return value < kAbsent ? kAbsent : value; }

// Elements [4 h, 4 h + 4) of a thread's batch from `first`; columns at or after `end` are `absent`.
template <bool aligned>
__device__ __forceinline__ void load_four(const float* row, int64_t first, int64_t end, float absent,
                                          float (&to)[kBatch], int h) {
  if (aligned && first + 4 <= end) {
    const float4 four = __ldcs(reinterpret_cast<const float4*>(row + first));
    to[4 * h] = four.x;
    to[4 * h + 1] = four.y;
    to[4 * h + 2] = four.z;
    to[4 * h + 3] = four.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) to[4 * h + i] = first + i < end ? __ldcs(row + first + i) : absent;
}

// `threads` (a warp's or a block's) take columns [begin, end) of a row; each warp keeps a list of its own.
template <int threads, bool aligned>
__device__ __forceinline__ RowState scan(const Arguments& args, int64_t row, int64_t begin, int64_t end,
                                         TopEntry* list) {
  const int thread = threadIdx.x % threads;
  const int k = args.parts.k;
  const float* yes = args.yes + row * args.c;
  const float* no = args.no == nullptr ? nullptr : args.no + row * args.c;
  RowState state = empty_state();
  float threshold = -INFINITY;
  for (int i = threadIdx.x % kLanes; i < k; i += kLanes) list[i] = {-INFINITY, 0.0f, kNoIndex};
  __syncwarp();
  for (int64_t first = begin; first < end; first += kBatch * threads) {
    float x[kBatch], y[kBatch];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      load_four<aligned>(yes, first + logit_column(threads, thread, 4 * h), end, kAbsent, x, h);
      if (no != nullptr) load_four<aligned>(no, first + logit_column(threads, thread, 4 * h), end, 0.0f, y, h);
    }
#pragma unroll
    for (int e = 0; e < kBatch; ++e) {
      x[e] = at_least_absent(x[e]);
      y[e] = no == nullptr ? kAbsent : at_least_absent(y[e]);
    }
    const auto class_of = [&](int e) { return static_cast<int32_t>(first) + logit_column(threads, thread, e); };
    const int position = add(state, x, y, args.rates);
    if (position >= 0) state.index = class_of(position);
    if (k > 0) offer<kLanes>(list, k, threshold, x, y, class_of);
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) state = merge(state, shuffled(state, offset), args.rates);
  return state;
}

template <bool aligned>
__global__ void __launch_bounds__(kBlockThreads, 3) score_short_rows(const Arguments args) {
  __shared__ TopEntry lists[kBlockWarps][CLIPN_CUDA_MAX_K];
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int64_t row = int64_t{blockIdx.x} * kBlockWarps + warp;
  if (row >= args.n) return;  // whole warps
  const RowState state = scan<kLanes, aligned>(args, row, 0, args.c, lists[warp]);
  if (lane == 0) args.parts.states[row] = state;
  for (int i = lane; i < args.parts.k; i += kLanes) args.parts.tops[row * args.parts.k + i] = lists[warp][i];
}

template <bool aligned>
__global__ void __launch_bounds__(kBlockThreads, 3) score_long_rows(const Arguments args) {
  __shared__ TopEntry lists[kBlockWarps * CLIPN_CUDA_MAX_K];
  __shared__ RowState states[kBlockWarps];
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int k = args.parts.k;
  const int64_t row = blockIdx.x, begin = blockIdx.y * kLogitSegment, end = min(begin + kLogitSegment, args.c);
  const RowState state = scan<kBlockThreads, aligned>(args, row, begin, end, lists + warp * k);
  if (lane == 0) states[warp] = state;
  __syncthreads();
  if (warp != 0) return;
  const int64_t part = row * args.parts.segments + blockIdx.y;
  if (lane == 0) {
    RowState all = states[0];
    for (int i = 1; i < kBlockWarps; ++i) all = merge(all, states[i], args.rates);
    args.parts.states[part] = all;
  }
  select_top(lists, kBlockWarps * k, k, lane,
             [&](int i, const TopEntry& entry) { args.parts.tops[part * k + i] = entry; });
}

template <bool aligned>
cudaError_t launch(const Arguments& args, cudaStream_t stream) {
  if (args.c <= kWarpClasses) {
    const dim3 grid(static_cast<unsigned>((args.n + kBlockWarps - 1) / kBlockWarps));
    return launch_kernel(score_short_rows<aligned>, grid, kBlockThreads, 0, stream, args);
  }
  const dim3 grid(static_cast<unsigned>(args.n), static_cast<unsigned>(args.parts.segments));
  return launch_kernel(score_long_rows<aligned>, grid, kBlockThreads, 0, stream, args);
}

int64_t segments(int64_t c) { return c <= kWarpClasses ? 1 : segments_of(c, kLogitSegment); }

bool on_16_bytes(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace
}  // namespace clipn::cuda

int64_t clipn_cuda_logits_workspace(int64_t n, int64_t c, int32_t k) {
  using namespace clipn::cuda;
  return n * part_bytes(segments(c), k);
}

int clipn_cuda_score_logits(const clipn_cuda_logits* input, const clipn_cuda_scores* output, void* queue) {
  using namespace clipn::cuda;
  const clipn_cuda_logits& in = *input;
  if (in.n < 0 || in.c < 1 || in.c > kNoIndex - kLogitSegment || in.k < 0 || in.k > CLIPN_CUDA_MAX_K || in.k > in.c ||
      segments(in.c) > 65535 || !(in.scale > 0)) {
    return cudaErrorInvalidValue;
  }
  const int64_t round = rows_per_round(output->workspace_bytes, part_bytes(segments(in.c), in.k), in.n);
  if (round == 0 && in.n > 0) return cudaErrorInvalidValue;
  const auto stream = static_cast<cudaStream_t>(queue);
  const float log2e = 1.44269504088896341f;
  const bool aligned = in.c % 4 == 0 && on_16_bytes(in.yes) && on_16_bytes(in.no);
  for (int64_t row = 0; row < in.n; row += round) {
    Arguments args = {};
    args.yes = in.yes + row * in.c;
    args.no = in.no == nullptr ? nullptr : in.no + row * in.c;
    args.n = round < in.n - row ? round : in.n - row;
    args.c = in.c;
    args.rates = {log2e, log2e / in.scale};
    args.parts = lay_out(output->workspace, args.n, segments(in.c), in.k);
    cudaError_t status = aligned ? launch<true>(args, stream) : launch<false>(args, stream);
    if (status == cudaSuccess) status = fold(args.parts, args.rates, 1.0, in.no != nullptr, *output, row, in.n, stream);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}
