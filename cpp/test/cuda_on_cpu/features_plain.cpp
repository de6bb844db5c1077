// The from-features kernel as sm_75 runs it, under another name.
#undef CLIPN_TENSOR_CORES
#define CLIPN_TENSOR_CORES 0
#define clipn_cuda_score_features clipn_cuda_score_features_plain
#define clipn_cuda_features_workspace clipn_cuda_features_workspace_plain
#include "cuda/score_features.cu"
