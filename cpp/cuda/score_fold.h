// What both score kernels leave behind and the fold that turns it into scores. Included by .cu files only.
#ifndef CLIPN_CUDA_SCORE_FOLD_H_
#define CLIPN_CUDA_SCORE_FOLD_H_

#include "cuda/launch.h"
#include "cuda/launch_kernel.h"
#include "cuda/score_state.h"
#include "cuda/score_tiling.h"

namespace clipn::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// A grid's second dimension is the segments; this keeps the first within bounds, too.
constexpr int64_t kMaxRound = int64_t{1} << 20;

// Of a round of `rows` images: states [rows, segments] and top lists [rows, segments, k], best first.
struct Parts {
  RowState* states;
  TopEntry* tops;
  int64_t rows, segments;
  int32_t k;
};

constexpr int64_t part_bytes(int64_t segments, int32_t k) {
  return segments * (int64_t{sizeof(RowState)} + int64_t{sizeof(TopEntry)} * k);
}

// Images that a workspace holds the parts of: all n, or a multiple of 64, or 0 when it is too small.
inline int64_t rows_per_round(int64_t workspace_bytes, int64_t each, int64_t n) {
  const int64_t rows = workspace_bytes / each < kMaxRound ? workspace_bytes / each : kMaxRound;
  return rows >= n ? n : rows / 64 * 64;
}

// Parts of a round in `workspace`, which holds part_bytes for each of `rows`.
inline Parts lay_out(void* workspace, int64_t rows, int64_t segments, int32_t k) {
  auto* states = static_cast<RowState*>(workspace);
  return {states, reinterpret_cast<TopEntry*>(states + rows * segments), rows, segments, k};
}

// The state of the lane `offset` away.
__device__ __forceinline__ RowState shuffled(const RowState& state, int offset) {
  RowState to;
  to.m = __shfl_xor_sync(kAllLanes, state.m, offset);
  to.k = __shfl_xor_sync(kAllLanes, state.k, offset);
  to.n = __shfl_xor_sync(kAllLanes, state.n, offset);
  to.in = __shfl_xor_sync(kAllLanes, state.in, offset);
  to.in_max = __shfl_xor_sync(kAllLanes, state.in_max, offset);
  to.out = __shfl_xor_sync(kAllLanes, state.out, offset);
  to.mcm = __shfl_xor_sync(kAllLanes, state.mcm, offset);
  to.gap = __shfl_xor_sync(kAllLanes, state.gap, offset);
  to.index = __shfl_xor_sync(kAllLanes, state.index, offset);
  return to;
}

// The best entry among the lanes that differ in the bits below `group`; only x and index are exchanged.
template <int group>
__device__ __forceinline__ TopEntry best_of_group(TopEntry best) {
#pragma unroll
  for (int offset = group / 2; offset > 0; offset /= 2) {
    const TopEntry other = {__shfl_xor_sync(kAllLanes, best.x, offset), 0.0f,
                            __shfl_xor_sync(kAllLanes, best.index, offset)};
    if (better(other, best)) {
      best.x = other.x;
      best.index = other.index;
    }
  }
  return best;
}

// Puts `entry` into the list of `k`, best first, whose last is worse.
__device__ __forceinline__ void insert(TopEntry* list, int k, const TopEntry& entry) {
  int i = k - 1;
  for (; i > 0 && list[i - 1].x < entry.x; --i) list[i] = list[i - 1];
  list[i] = entry;
}

// Offers a thread's batch of classes to the list that `group` lanes share. class_of(e) rises with e. `threshold` is the
// x of the list's last entry; all lanes of the warp must come here together.
template <int group, typename ClassOf>
__device__ __forceinline__ void offer(TopEntry* list, int k, float& threshold, const float (&x)[kBatch],
                                      const float (&y)[kBatch], const ClassOf& class_of) {
  unsigned taken = 0;
  while (true) {
    TopEntry mine = {-INFINITY, 0.0f, kNoIndex};
    int position = 0;
#pragma unroll
    for (int e = 0; e < kBatch; ++e) {
      if ((taken >> e & 1) == 0 && x[e] > mine.x) {
        mine.x = x[e];
        mine.y = y[e];
        position = e;
      }
    }
    if (mine.x > -INFINITY) mine.index = class_of(position);
    const TopEntry best = best_of_group<group>(mine);
    const bool wanted = best.x > threshold;
    if (__any_sync(kAllLanes, wanted) == 0) return;
    if (wanted && best.index == mine.index) {
      insert(list, k, mine);
      taken |= 1u << position;
    }
    __syncwarp();
    if (wanted) threshold = list[k - 1].x;
    __syncwarp();
  }
}

// Calls take(i, entry) in lane 0 for the best `k` of `count` entries, in order; their total order makes "the best one
// after the last" a plain search. All lanes of a warp together.
template <typename Take>
__device__ __forceinline__ void select_top(const TopEntry* entries, int64_t count, int k, int lane, const Take& take) {
  TopEntry last = {INFINITY, 0.0f, -1};
  for (int i = 0; i < k; ++i) {
    TopEntry mine = {-INFINITY, 0.0f, kNoIndex};
    for (int64_t at = lane; at < count; at += kLanes) {
      const TopEntry entry = entries[at];
      if (better(last, entry) && better(entry, mine)) mine = entry;
    }
    TopEntry best = best_of_group<kLanes>(mine);
    // Equal entries stand only for classes that are not there: any of their owners will do.
    const unsigned owners = __ballot_sync(kAllLanes, mine.x == best.x && mine.index == best.index);
    best.y = __shfl_sync(kAllLanes, mine.y, __ffs(owners) - 1);
    if (lane == 0) take(i, best);
    last = best;
  }
}

// Queues the fold of `parts` into rows [first_row, first_row + parts.rows) of `output`, which has `n` rows. `s` as in
// finish().
cudaError_t fold(const Parts& parts, Rates rates, double s, bool both, const clipn_cuda_scores& output,
                 int64_t first_row, int64_t n, cudaStream_t stream);

}  // namespace clipn::cuda

#endif  // CLIPN_CUDA_SCORE_FOLD_H_
