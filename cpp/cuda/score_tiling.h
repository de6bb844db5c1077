// Which thread sees which classes in which order. A row's bits depend on this alone, so it depends on the number of
// classes and on nothing else: not on the batch, the row's place in it, or the GPU.
#ifndef CLIPN_CUDA_SCORE_TILING_H_
#define CLIPN_CUDA_SCORE_TILING_H_

#include "cuda/score_state.h"

namespace clipn::cuda {

constexpr int kLanes = 32;
// Classes that a thread adds at once.
constexpr int kBatch = 8;

// ---- from features: tiles of 64 classes, two warps beside each other, quads of threads share a row ----
constexpr int kTileClasses = 64;
constexpr int kClassWarps = 2;
constexpr int kQuad = 4;

// Segments run in parallel; the fold takes them in a fixed order.
constexpr int64_t feature_segment(int64_t c) { return c <= 2048 ? kTileClasses : c <= 32768 ? 1024 : 2048; }

// Class within the tile of element e of a thread: the layout of an m16n8 accumulator.
CLIPN_HD int tile_class(int class_warp, int lane, int e) {
  return class_warp * 32 + (e / 2) * 8 + (lane % kQuad) * 2 + e % 2;
}

// ---- from logits: a warp or a block of `threads` per row and segment ----
constexpr int64_t kWarpClasses = 1024;  // rows up to this length are one warp's
constexpr int64_t kLogitSegment = 16384;
constexpr int kBlockThreads = 256;

// Column of element e of thread t, from the step's first one; a step covers kBatch * threads columns.
CLIPN_HD int logit_column(int threads, int t, int e) { return (e / 4) * 4 * threads + 4 * t + e % 4; }

constexpr int64_t segments_of(int64_t c, int64_t segment) { return (c + segment - 1) / segment; }

}  // namespace clipn::cuda

#endif  // CLIPN_CUDA_SCORE_TILING_H_
