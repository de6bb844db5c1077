// Launching with a checked result. Included by .cu files only.
#ifndef CLIPN_CUDA_LAUNCH_KERNEL_H_
#define CLIPN_CUDA_LAUNCH_KERNEL_H_

#include <cuda_runtime.h>

namespace clipn::cuda {

// Queues a kernel; what the launch itself reports is returned (and cleared, unless it is sticky).
template <typename... Expected, typename... Given>
cudaError_t launch_kernel(void (*kernel)(Expected...), dim3 grid, unsigned threads, size_t shared_bytes,
                          cudaStream_t stream, Given&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, static_cast<Given&&>(arguments)...);
  const cudaError_t last = cudaGetLastError();
  return status != cudaSuccess ? status : last;
}

}  // namespace clipn::cuda

#endif  // CLIPN_CUDA_LAUNCH_KERNEL_H_
