// Images to the pixels that the image tower sees: Pillow's 8-bit bicubic and the centre crop, byte for byte (spec 4.2).
// Shapes    n windows [height, width, channels] of any size to pixels [n, S, S, 3], by way of [height, S, 3] or, where
//           Pillow filters vertically first, [S, width, 3].
// Algorithm two passes, as Pillow's: a sum of bytes times 22-bit weights in int32, rounded and clipped to a byte after
//           each. A thread per pixel; neighbours read windows that overlap, from the cache. The weights come from the
//           host (image/resize_plan.h), in double.
// Cost      reads each window once, writes and reads S * height * 3 bytes between, writes S * S * 3; per pixel and pass
//           3 * taps multiply-adds, about 4 * length / S taps. Bound by memory, and far below the tower's time.
#include "cuda/launch.h"
#include "cuda/launch_kernel.h"

namespace clipn::cuda {
namespace {

__device__ uint8_t rounded(int32_t sum) {
  const int32_t value = sum >> 22;
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

// One pixel of one pass: `taps` pixels, `step` bytes apart.
__device__ void filter(const uint8_t* from, int64_t step, const int32_t* weights, int32_t taps, int32_t channels,
                       uint8_t* to) {
  const int32_t second = channels == 1 ? 0 : 1, third = channels == 1 ? 0 : 2;
  int32_t r = 1 << 21, g = 1 << 21, b = 1 << 21;
  for (int32_t t = 0; t < taps; ++t, from += step) {
    r += weights[t] * from[0];
    g += weights[t] * from[second];
    b += weights[t] * from[third];
  }
  to[0] = rounded(r);
  to[1] = rounded(g);
  to[2] = rounded(b);
}

// Block (x, y): 256 pixels that a pass makes of image y.
__global__ void __launch_bounds__(256)
    resize_pass(const uint8_t* packed, bool second, uint8_t* between, int32_t side, uint8_t* out) {
  const clipn_cuda_resize_job& job = reinterpret_cast<const clipn_cuda_resize_job*>(packed)[blockIdx.y];
  const bool along_x = second == (job.vertical_first != 0);
  const int32_t width = second || along_x ? side : job.width;
  const int32_t height = second || !along_x ? side : job.height;
  const int64_t pixel = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (pixel >= int64_t{width} * height) return;
  const int32_t x = static_cast<int32_t>(pixel % width), y = static_cast<int32_t>(pixel / width);

  const int32_t channels = second ? 3 : job.channels;
  const int64_t row = int64_t{second && job.vertical_first == 0 ? side : job.width} * channels;
  const uint8_t* from = second ? between + job.between : packed + job.window;
  const clipn_cuda_axis& axis = along_x ? job.x : job.y;
  const int32_t i = along_x ? x : y;
  const int32_t first = reinterpret_cast<const int32_t*>(packed + axis.first)[i];
  const int32_t taps = reinterpret_cast<const int32_t*>(packed + axis.taps)[i];
  const int32_t* weights = reinterpret_cast<const int32_t*>(packed + axis.weights) + int64_t{i} * axis.capacity;
  from += along_x ? y * row + int64_t{first} * channels : first * row + int64_t{x} * channels;
  uint8_t* to = second ? out + int64_t{blockIdx.y} * side * side * 3 : between + job.between;
  filter(from, along_x ? channels : row, weights, taps, channels, to + pixel * 3);
}

}  // namespace
}  // namespace clipn::cuda

int clipn_cuda_resize(const void* packed, int64_t n, int64_t most, void* between, int64_t side, uint8_t* pixels,
                      void* queue) {
  using namespace clipn::cuda;
  if (n < 1 || n > 65535 || most < 1 || side < 1 || side > 8192) return cudaErrorInvalidValue;
  const auto stream = static_cast<cudaStream_t>(queue);
  const auto pass = [&](bool second, int64_t count) {
    const dim3 grid(static_cast<unsigned>((count + 255) / 256), static_cast<unsigned>(n));
    return launch_kernel(resize_pass, grid, 256, 0, stream, static_cast<const uint8_t*>(packed), second,
                         static_cast<uint8_t*>(between), static_cast<int32_t>(side), pixels);
  };
  const cudaError_t status = pass(false, most);
  return status != cudaSuccess ? status : pass(true, side * side);
}
