// Scores on device 0 (spec 3).
#ifndef CLIPN_CUDA_DEVICE_SCORE_H_
#define CLIPN_CUDA_DEVICE_SCORE_H_

#include "clipn/core.h"

namespace clipn {

// As score() of score/score.h, for n >= 1, k <= 16 and without logits. fp32. Throws Error.
void score_on_cuda(const clipn_score_input& input, const clipn_score_output& output);

}  // namespace clipn

#endif  // CLIPN_CUDA_DEVICE_SCORE_H_
