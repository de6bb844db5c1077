// Opening the plugin, at run time and once.
#ifndef CLIPN_CUDA_OPEN_H_
#define CLIPN_CUDA_OPEN_H_

#include "clipn/core.h"

namespace clipn {

struct CudaPlugin;

// Fills in what the driver tells and, if nothing is missing and `plugin` is not NULL, opens that library and has it
// check the device.
void open_cuda(const char* plugin, clipn_cuda_info& out);

// The opened plugin. Throws Error(DEVICE_UNAVAILABLE).
const CudaPlugin& cuda_plugin();

// Longest top list of the kernels.
constexpr int64_t kCudaMaxTop = 16;

// Scores by the opened plugin: n >= 1, k <= kCudaMaxTop, no logits. Throws Error.
void score_by_plugin(const clipn_score_input& input, const clipn_score_output& output);

}  // namespace clipn

#endif  // CLIPN_CUDA_OPEN_H_
