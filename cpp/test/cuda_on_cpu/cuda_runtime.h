// Enough of CUDA to run the kernels' own sources on a CPU: a block's threads are fibers of one thread, taking turns at
// barriers and warp exchanges. It shows what a kernel computes, reads and writes; it cannot show races, since fibers
// never run at once, nor anything of speed. Stands in for cuda_runtime.h on the include path of the tests.
#ifndef CLIPN_TEST_CUDA_ON_CPU_H_
#define CLIPN_TEST_CUDA_ON_CPU_H_

#include <stdint.h>

#include <cmath>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block at a time: what a block shares may be static.
#define __shared__ static

using std::isnan;

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1) : x(width), y(height), z(depth) {}
};

// Of the fiber that runs.
extern dim3 threadIdx, blockIdx, blockDim;

namespace cuda_on_cpu {

// What the pretended GPU has; tests change it to reach every variant.
struct Device {
  int processors = 4;
  int shared_bytes = 227 * 1024;
};
Device& device();

char* shared_memory();

// Waits for all threads of the block, or of the warp.
void block_barrier();
void warp_barrier();

// Puts `bytes` (at most 128) into the caller's slot and waits for its warp; then slot() reads any lane's, until the
// next exchange.
constexpr int kSlotBytes = 128;
void share(const void* value, size_t bytes);
const char* slot(unsigned lane);
unsigned lane();

// Runs `thread` once per thread of every block, in the order of blocks.
void run(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& thread);

template <typename T>
T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= kSlotBytes);
  share(&value, sizeof value);
  std::memcpy(&value, slot(from), sizeof value);
  return value;
}

}  // namespace cuda_on_cpu

inline void __syncthreads() { ::cuda_on_cpu::block_barrier(); }
inline void __syncwarp() { ::cuda_on_cpu::warp_barrier(); }

template <typename T>
T __shfl_sync(unsigned, T value, int from) {
  return cuda_on_cpu::exchange(value, static_cast<unsigned>(from));
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return cuda_on_cpu::exchange(value, cuda_on_cpu::lane() ^ static_cast<unsigned>(mask));
}
inline unsigned __ballot_sync(unsigned, bool vote) {
  cuda_on_cpu::share(&vote, sizeof vote);
  unsigned votes = 0;
  for (unsigned i = 0; i < 32; ++i) votes |= static_cast<unsigned>(*cuda_on_cpu::slot(i) != 0) << i;
  return votes;
}
inline int __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0 ? 1 : 0; }
inline int __ffs(unsigned value) { return __builtin_ffs(static_cast<int>(value)); }

template <typename T>
T __ldcs(const T* from) {
  return *from;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
using cudaStream_t = void*;
enum { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin };

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

template <typename... Expected, typename... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...), Given&&... arguments) {
  cuda_on_cpu::run(config->gridDim, config->blockDim.x, config->dynamicSmemBytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel, int, int bytes) {
  return bytes <= cuda_on_cpu::device().shared_bytes ? cudaSuccess : cudaErrorInvalidValue;
}
struct cudaFuncAttributes {};
template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel) {
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* number) {
  *number = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, int attribute, int) {
  const cuda_on_cpu::Device& device = cuda_on_cpu::device();
  *value = attribute == cudaDevAttrMultiProcessorCount ? device.processors : device.shared_bytes;
  return cudaSuccess;
}

#endif  // CLIPN_TEST_CUDA_ON_CPU_H_
