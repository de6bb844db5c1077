// The GPU as the driver tells of it. Works without CUDA, a CUDA libtorch or a GPU: libcuda.so.1 is opened at run time.
#ifndef CLIPN_CUDA_DRIVER_H_
#define CLIPN_CUDA_DRIVER_H_

#include <cstdint>
#include <string>

#include "clipn/core.h"

namespace clipn {

struct Gpu {
  clipn_cuda_part missing = CLIPN_CUDA_DRIVER;
  std::string reason;  // what was found instead; "" when nothing is missing
  int32_t driver = 0;  // CUDA version that the driver supports, e.g. 13000
  int32_t devices = 0;
  int32_t capability = 0;  // of device 0, e.g. 90
  uint64_t memory = 0;     // bytes of device 0
  std::string name;        // of device 0
};

// Never throws for what it finds. The oldest GPU taken is of compute capability 7.5.
Gpu find_gpu(const char* library = "libcuda.so.1");

}  // namespace clipn

#endif  // CLIPN_CUDA_DRIVER_H_
