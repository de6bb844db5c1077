// fp16 for kernels that run on the CPU.
#ifndef CLIPN_TEST_CUDA_ON_CPU_FP16_H_
#define CLIPN_TEST_CUDA_ON_CPU_FP16_H_

using __half = _Float16;

#endif  // CLIPN_TEST_CUDA_ON_CPU_FP16_H_
