// Scores from features: tiles of X Wy^T and X Wn^T, reduced on the fly (spec 3). N x C logits are never stored.
// Shapes    a block: kRows (64 or 16) images x one segment of classes, in tiles of 64 yes + 64 no; a warp:
//           16 x (32 + 32).
// Cost      4 N C D flops (fp32: three times that, in TF32); reads X once per tile of classes, W once per row block,
//           from L2 for the most part; four 2^v and a reciprocal per pair, hidden behind the products of the other
//           block.
// Layout    three stages (two where shared memory is short) of [kRows + 128] rows x 128 bytes, the 16-byte chunks of a
//           row swizzled by its low three bits, so that ldmatrix meets no bank twice.
// Numerics  bf16: products exact, sums in fp32. fp32: x = hi + lo in TF32, lo hi + hi lo + hi hi; sums go to a second
//           fp32 level every 32 k, since a sum's rounding times s = 100 is the error of a score. sm_75 has neither
//           type: FFMA on the same tiles. kRows 64 and 16 share the class-to-thread map and the order of sums: the
//           same bits.
// Threads   4 kRows; thread t of a quad holds rows g and g + 8, columns 2 t + {0, 1} of every group of 8.
#include <cuda_bf16.h>

#include <algorithm>

#include "cuda/ptx.h"
#include "cuda/score_fold.h"

namespace clipn::cuda {
namespace {

constexpr int kRowBytes = 128;  // of a stage: 64 bf16 or 32 floats
constexpr int kChunkBytes = 16;
constexpr int kChunks = kRowBytes / kChunkBytes;
constexpr int kBanks = 2;  // yes, no

struct Arguments {
  const char *features, *yes, *no;  // no == yes when there is none
  int64_t n, c, segment;
  int32_t row_bytes;  // of a row of d elements, a multiple of kRowBytes
  int32_t stages;
  bool both;
  Rates rates;
  Parts parts;
};

// Products of a thread: [bank][group of 8 classes][row g: 2 classes, row g + 8: 2 classes].
using Products = float[kBanks][4][4];

__device__ __forceinline__ int swizzled(int row, int chunk) {
  return row * kRowBytes + ((chunk ^ (row & 7)) * kChunkBytes);
}

#if CLIPN_TENSOR_CORES

// Floats to the two TF32 parts whose sum they are, but for 2^-22.
__device__ __forceinline__ void split(const uint32_t (&whole)[4], uint32_t (&high)[4], uint32_t (&low)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    high[i] = to_tf32(__uint_as_float(whole[i]));
    low[i] = to_tf32(__uint_as_float(whole[i]) - __uint_as_float(high[i]));
  }
}

// Adds one stage: the warp's 16 rows at `x`, its 32 classes of each bank at `w[bank]`.
template <typename T>
__device__ __forceinline__ void multiply_stage(Products& sums, const char* x, const char* const (&w)[kBanks],
                                               int lane) {
  const int in_matrix = lane % 8, matrix = lane / 8;
  const int x_row = in_matrix + (matrix & 1) * 8, w_row = in_matrix + (matrix >> 1) * 8;
#pragma unroll
  for (int pair = 0; pair < kChunks; pair += 2) {
    uint32_t a[4], a_low[4];
    load_matrices(a, x + swizzled(x_row, pair + (matrix >> 1)));
    if constexpr (sizeof(T) == 4) {
      const uint32_t whole[4] = {a[0], a[1], a[2], a[3]};
      split(whole, a, a_low);
    }
#pragma unroll
    for (int bank = 0; bank < kBanks; ++bank) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint32_t b[4];
        load_matrices(b, w[bank] + swizzled(half * 16 + w_row, pair + (matrix & 1)));
        float(&left)[4] = sums[bank][2 * half];
        float(&right)[4] = sums[bank][2 * half + 1];
        if constexpr (sizeof(T) == 4) {
          uint32_t high[4], low[4];
          split(b, high, low);
          multiply_tf32(left, a_low, high[0], high[1]);
          multiply_tf32(right, a_low, high[2], high[3]);
          multiply_tf32(left, a, low[0], low[1]);
          multiply_tf32(right, a, low[2], low[3]);
          multiply_tf32(left, a, high[0], high[1]);
          multiply_tf32(right, a, high[2], high[3]);
        } else {
          multiply_bf16(left, a, b[0], b[1]);
          multiply_bf16(right, a, b[2], b[3]);
        }
      }
    }
  }
}

#else

// The elements of a chunk as floats.
__device__ __forceinline__ void read_chunk(const char* from, float (&to)[4]) {
  const float4 values = *reinterpret_cast<const float4*>(from);
  to[0] = values.x;
  to[1] = values.y;
  to[2] = values.z;
  to[3] = values.w;
}

__device__ __forceinline__ void read_chunk(const char* from, float (&to)[8]) {
  const uint4 values = *reinterpret_cast<const uint4*>(from);
  const uint32_t words[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = __uint_as_float(words[i] << 16);
    to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}

template <typename T>
__device__ __forceinline__ void multiply_stage(Products& sums, const char* x, const char* const (&w)[kBanks],
                                               int lane) {
  constexpr int kElements = kChunkBytes / sizeof(T);
  const int g = lane / kQuad;
#pragma unroll 1
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    float rows[2][kElements];
    read_chunk(x + swizzled(g, chunk), rows[0]);
    read_chunk(x + swizzled(g + 8, chunk), rows[1]);
#pragma unroll
    for (int bank = 0; bank < kBanks; ++bank) {
#pragma unroll
      for (int e = 0; e < kBatch; ++e) {
        float classes[kElements];
        read_chunk(w[bank] + swizzled(tile_class(0, lane, e), chunk), classes);
#pragma unroll
        for (int i = 0; i < kElements; ++i) {
          sums[bank][e / 2][e % 2] = fused(rows[0][i], classes[i], sums[bank][e / 2][e % 2]);
          sums[bank][e / 2][2 + e % 2] = fused(rows[1][i], classes[i], sums[bank][e / 2][2 + e % 2]);
        }
      }
    }
  }
}

#endif

__device__ __forceinline__ void clear(Products& sums) {
#pragma unroll
  for (int i = 0; i < kBanks * 16; ++i) sums[i / 16][i / 4 % 4][i % 4] = 0.0f;
}

template <typename T, int kRows>
struct Block {
  static constexpr int kThreads = kRows * kQuad;
  static constexpr int kStageRows = kRows + kBanks * kTileClasses;
  static constexpr int kStageBytes = kStageRows * kRowBytes;
  // Two blocks on a multiprocessor let one's exponentials run under the other's products; the second level of sums of
  // fp32 takes the registers for that.
  static constexpr int kPerProcessor = sizeof(T) == 2 && kRows == 64 ? 2 : 1;
};

// Starts the copy of 128 bytes of every row of the stage: images from `row`, classes from `first`.
template <typename T, int kRows>
__device__ __forceinline__ void copy_stage(const Arguments& args, char* stage, int64_t row, int64_t first,
                                           int32_t offset) {
  using B = Block<T, kRows>;
  const int chunk = threadIdx.x % kChunks;
  offset += chunk * kChunkBytes;
#pragma unroll
  for (int step = 0; step < B::kStageRows; step += B::kThreads / kChunks) {
    const int at = step + threadIdx.x / kChunks;
    // A step never crosses from one matrix to the next: all of these are multiples of its height.
    const bool image = step < kRows;
    const bool yes = step < kRows + kTileClasses;
    const char* matrix = image ? args.features : yes ? args.yes : args.no;
    const int64_t source = image ? row + at : first + at - (yes ? kRows : kRows + kTileClasses);
    const bool there = source < (image ? args.n : args.c);
    copy_16_bytes(stage + swizzled(at, chunk), matrix + (there ? source * args.row_bytes : 0) + offset, there);
  }
}

template <typename T, int kRows>
__global__ void __launch_bounds__(Block<T, kRows>::kThreads, Block<T, kRows>::kPerProcessor)
    score_features(const Arguments args) {
  using B = Block<T, kRows>;
  char* const shared = dynamic_shared();
  auto* lists = reinterpret_cast<TopEntry*>(shared + args.stages * B::kStageBytes);  // [kRows, kClassWarps, k]
  const int k = args.parts.k;
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  const int class_warp = warp % kClassWarps, first_row = warp / kClassWarps * 16;
  const int64_t row = int64_t{blockIdx.x} * kRows;
  const int64_t begin = blockIdx.y * args.segment, end = min(begin + args.segment, args.c);

  for (int i = threadIdx.x; i < kRows * kClassWarps * k; i += B::kThreads) lists[i] = {-INFINITY, 0.0f, kNoIndex};
  TopEntry* list[2];
  RowState states[2] = {empty_state(), empty_state()};
  float threshold[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int r = 0; r < 2; ++r) list[r] = lists + ((first_row + lane / kQuad + 8 * r) * kClassWarps + class_warp) * k;

  // Stages run through the tiles without a break: while one tile is reduced, the next is on its way.
  const int per_tile = args.row_bytes / kRowBytes;
  const int tiles = static_cast<int>((end - begin + kTileClasses - 1) / kTileClasses);
  const int total = tiles * per_tile;
  int copied = 0, copied_part = 0, copied_slot = 0;
  int64_t copied_first = begin;
  const auto copy_next = [&] {
    if (copied < total) {
      copy_stage<T, kRows>(args, shared + copied_slot * B::kStageBytes, row, copied_first, copied_part * kRowBytes);
      ++copied;
      if (++copied_slot == args.stages) copied_slot = 0;
      if (++copied_part == per_tile) {
        copied_part = 0;
        copied_first += kTileClasses;
      }
    }
    end_of_copies();  // an empty one too: the waiting counts them
  };
  for (int i = 0; i < args.stages - 1; ++i) copy_next();

  int slot = 0;
  for (int64_t first = begin; first < end; first += kTileClasses) {
    Products sums;
    clear(sums);
    for (int part = 0; part < per_tile; ++part) {
      if (args.stages == 3) {
        wait_for_copies<1>();
      } else {
        wait_for_copies<0>();
      }
      __syncthreads();  // the stage is here for all, and all are done with the one to be overwritten
      copy_next();
      const char* stage = shared + slot * B::kStageBytes;
      const char* yes = stage + (kRows + class_warp * 32) * kRowBytes;
      const char* const w[kBanks] = {yes, yes + kTileClasses * kRowBytes};
      if constexpr (sizeof(T) == 4) {
        Products level;
        clear(level);
        multiply_stage<T>(level, stage + first_row * kRowBytes, w, lane);
#pragma unroll
        for (int i = 0; i < kBanks * 16; ++i) sums[i / 16][i / 4 % 4][i % 4] += level[i / 16][i / 4 % 4][i % 4];
      } else {
        multiply_stage<T>(sums, stage + first_row * kRowBytes, w, lane);
      }
      if (++slot == args.stages) slot = 0;
    }

#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float x[kBatch], y[kBatch];
#pragma unroll
      for (int e = 0; e < kBatch; ++e) {
        const bool there = first + tile_class(class_warp, lane, e) < end;
        x[e] = there ? sums[0][e / 2][2 * r + e % 2] : kAbsent;
        y[e] = !there ? 0.0f : args.both ? sums[1][e / 2][2 * r + e % 2] : kAbsent;
      }
      const auto class_of = [&](int e) { return static_cast<int32_t>(first) + tile_class(class_warp, lane, e); };
      const int position = add(states[r], x, y, args.rates);
      if (position >= 0) states[r].index = class_of(position);
      if (k > 0) offer<kQuad>(list[r], k, threshold[r], x, y, class_of);
    }
  }

  // Quads, then the two class-warps, then the lists of both.
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int offset = 1; offset < kQuad; offset *= 2)
      states[r] = merge(states[r], shuffled(states[r], offset), args.rates);
  }
  __syncthreads();  // no stage is read any more
  auto* other = reinterpret_cast<RowState*>(shared);
  const bool writes = lane % kQuad == 0;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (writes && class_warp == 1) other[first_row + lane / kQuad + 8 * r] = states[r];
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int at = first_row + lane / kQuad + 8 * r;
    if (writes && class_warp == 0 && row + at < args.n) {
      args.parts.states[(row + at) * args.parts.segments + blockIdx.y] = merge(states[r], other[at], args.rates);
    }
  }
  if (threadIdx.x < kRows && row + threadIdx.x < args.n) {
    const TopEntry* left = lists + threadIdx.x * kClassWarps * k;
    const TopEntry* right = left + k;
    TopEntry* to = args.parts.tops + ((row + threadIdx.x) * args.parts.segments + blockIdx.y) * k;
    for (int i = 0; i < k; ++i) to[i] = better(*right, *left) ? *right++ : *left++;
  }
}

template <typename T, int kRows>
cudaError_t launch(Arguments args, int shared_limit, cudaStream_t stream, bool* fits) {
  using B = Block<T, kRows>;
  const int lists = kRows * kClassWarps * args.parts.k * static_cast<int>(sizeof(TopEntry));
  args.stages = 3 * B::kStageBytes + lists <= shared_limit ? 3 : 2;
  const int bytes = args.stages * B::kStageBytes + lists;
  *fits = bytes <= shared_limit;
  if (!*fits) return cudaSuccess;
  const cudaError_t status =
      cudaFuncSetAttribute(score_features<T, kRows>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (status != cudaSuccess) return status;
  const dim3 grid(static_cast<unsigned>((args.n + kRows - 1) / kRows), static_cast<unsigned>(args.parts.segments));
  return launch_kernel(score_features<T, kRows>, grid, B::kThreads, bytes, stream, args);
}

// The large block wherever it keeps every multiprocessor busy; both give the same bits.
template <typename T>
cudaError_t launch(const Arguments& args, cudaStream_t stream) {
  int device, processors, shared_limit;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&shared_limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (status != cudaSuccess) return status;
  bool fits = false;
  if ((args.n + 63) / 64 * args.parts.segments >= processors) {
    status = launch<T, 64>(args, shared_limit, stream, &fits);
    if (fits) return status;
  }
  status = launch<T, 16>(args, shared_limit, stream, &fits);
  return fits ? status : cudaErrorInvalidConfiguration;
}

int64_t segments(int64_t c) { return segments_of(c, feature_segment(c)); }

}  // namespace
}  // namespace clipn::cuda

int64_t clipn_cuda_features_workspace(int64_t n, int64_t c, int32_t k) {
  using namespace clipn::cuda;
  return n * part_bytes(segments(c), k);
}

int clipn_cuda_score_features(const clipn_cuda_features* input, const clipn_cuda_scores* output, void* queue) {
  using namespace clipn::cuda;
  const clipn_cuda_features& in = *input;
  const int64_t element = in.type == CLIPN_CUDA_BF16 ? 2 : 4;
  const int64_t row_bytes = in.d * element;
  if (in.n < 0 || in.c < 1 || in.c > kNoIndex - kTileClasses || in.k < 0 ||
      in.k > std::min<int64_t>(in.c, CLIPN_CUDA_MAX_K) || in.d < 1 || row_bytes % kRowBytes != 0 ||
      row_bytes > (1 << 24) || segments(in.c) > 65535 || !(in.scale > 0)) {
    return cudaErrorInvalidValue;
  }
  const auto stream = static_cast<cudaStream_t>(queue);
  const int64_t each = part_bytes(segments(in.c), in.k);
  const int64_t round = rows_per_round(output->workspace_bytes, each, in.n);
  if (round == 0 && in.n > 0) return cudaErrorInvalidValue;
  const float log2e = 1.44269504088896341f;
  for (int64_t row = 0; row < in.n; row += round) {
    const int64_t rows = std::min(round, in.n - row);
    Arguments args = {};
    args.features = static_cast<const char*>(in.features) + row * row_bytes;
    args.yes = static_cast<const char*>(in.yes);
    args.both = in.no != nullptr;
    args.no = args.both ? static_cast<const char*>(in.no) : args.yes;
    args.n = rows;
    args.c = in.c;
    args.segment = feature_segment(in.c);
    args.row_bytes = static_cast<int32_t>(row_bytes);
    args.rates = {in.scale * log2e, log2e};
    args.parts = lay_out(output->workspace, rows, segments(in.c), in.k);
    cudaError_t status = in.type == CLIPN_CUDA_BF16 ? launch<__nv_bfloat16>(args, stream) : launch<float>(args, stream);
    if (status == cudaSuccess) status = fold(args.parts, args.rates, in.scale, args.both, *output, row, in.n, stream);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}
