// Bytes to what the image tower reads: ((v / 255) - mean) / std in fp32, then rounded to the tower's type (spec 4.2).
// Shapes    pixels [N, S, S, 3] to [N, 3, S, S]; a thread per pixel.
// Cost      3 bytes read and 3 elements written per pixel; bound by memory.
// Numerics  the operations of torchvision's ToTensor and Normalize, each rounded: fp32 equals the CPU's bit for bit.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/launch.h"
#include "cuda/launch_kernel.h"

namespace clipn::cuda {
namespace {

struct Channels {
  float mean[3], std[3];
};

template <typename T>
__global__ void __launch_bounds__(256)
    normalise(const uint8_t* pixels, int64_t plane, int64_t count, Channels channels, T* to) {
  const int64_t pixel = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (pixel >= count) return;
  const int64_t image = pixel / plane;
  T* out = to + image * 3 * plane + pixel % plane;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const float value = __fdiv_rn(static_cast<float>(pixels[pixel * 3 + c]), 255.0f);
    out[c * plane] = static_cast<T>(__fdiv_rn(__fsub_rn(value, channels.mean[c]), channels.std[c]));
  }
}

template <typename T>
cudaError_t launch(const uint8_t* pixels, int64_t plane, int64_t n, const Channels& channels, void* to,
                   cudaStream_t stream) {
  const int64_t count = plane * n;
  return launch_kernel(normalise<T>, dim3(static_cast<unsigned>((count + 255) / 256)), 256, 0, stream, pixels, plane,
                       count, channels, static_cast<T*>(to));
}

}  // namespace
}  // namespace clipn::cuda

int clipn_cuda_normalise(const uint8_t* pixels, int64_t n, int64_t side, const float* mean, const float* std,
                         int32_t type, void* to, void* queue) {
  using namespace clipn::cuda;
  if (n < 1 || side < 1 || side > 8192 || n > (int64_t{1} << 38) / (side * side)) return cudaErrorInvalidValue;
  const Channels channels = {{mean[0], mean[1], mean[2]}, {std[0], std[1], std[2]}};
  const auto stream = static_cast<cudaStream_t>(queue);
  switch (type) {
    case CLIPN_CUDA_FP32:
      return launch<float>(pixels, side * side, n, channels, to, stream);
    case CLIPN_CUDA_BF16:
      return launch<__nv_bfloat16>(pixels, side * side, n, channels, to, stream);
    case CLIPN_CUDA_FP16:
      return launch<__half>(pixels, side * side, n, channels, to, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
