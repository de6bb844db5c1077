// The functions of cpp/cuda/ptx.h on a CPU, with the layouts of the PTX manual (matrix fragments of m16n8k16 and
// m16n8k8). CLIPN_TENSOR_CORES chooses sm_80's path or sm_75's. A tensor core's sum is modelled as exact products,
// added to the accumulator and truncated to fp32: what is known of the hardware is at least as good.
#ifndef CLIPN_TEST_CUDA_ON_CPU_PTX_H_
#define CLIPN_TEST_CUDA_ON_CPU_PTX_H_

#include <cmath>
#include <cstring>

#include "cuda_runtime.h"

#ifndef CLIPN_TENSOR_CORES
#error "define CLIPN_TENSOR_CORES as 0 or 1"
#endif

namespace clipn::cuda {

inline char* dynamic_shared() { return cuda_on_cpu::shared_memory(); }

inline void copy_16_bytes(char* to, const char* from, bool there) {
  if (there) {
    std::memcpy(to, from, 16);
  } else {
    std::memset(to, 0, 16);
  }
}
inline void end_of_copies() {}
template <int ahead>
void wait_for_copies() {}

#if CLIPN_TENSOR_CORES

inline void load_matrices(uint32_t (&to)[4], const char* row) {
  cuda_on_cpu::share(&row, sizeof row);
  const unsigned lane = cuda_on_cpu::lane();
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const char* from;
    std::memcpy(&from, cuda_on_cpu::slot(matrix * 8 + lane / 4), sizeof from);
    std::memcpy(&to[matrix], from + lane % 4 * 4, 4);
  }
  cuda_on_cpu::warp_barrier();  // the rows may be overwritten from here on
}

inline uint32_t to_tf32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return std::isfinite(value) ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline float truncated(double exact) {
  float nearest = static_cast<float>(exact);
  if (std::abs(static_cast<double>(nearest)) > std::abs(exact)) {
    uint32_t bits;
    std::memcpy(&bits, &nearest, sizeof bits);
    nearest = __uint_as_float(bits - 1);  // the next towards 0
  }
  return nearest;
}

// The elements of a register.
inline void unpack(uint32_t reg, float (&to)[2]) {
  to[0] = __uint_as_float(reg << 16);
  to[1] = __uint_as_float(reg & 0xffff0000u);
}
inline void unpack(uint32_t reg, float (&to)[1]) {
  to[0] = __uint_as_float(reg & ~0x1fffu);
}  // the hardware reads no more

// `elements` per register: 2 of bf16, 1 of TF32.
template <int elements>
void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct {
    float a[4][elements], b[2][elements];
  } mine, row, column;
  for (int i = 0; i < 4; ++i) unpack(a[i], mine.a[i]);
  unpack(b0, mine.b[0]);
  unpack(b1, mine.b[1]);
  cuda_on_cpu::share(&mine, sizeof mine);
  const unsigned g = cuda_on_cpu::lane() / 4, t = cuda_on_cpu::lane() % 4;
  double exact[4] = {sum[0], sum[1], sum[2], sum[3]};
  for (unsigned k = 0; k < 4; ++k) {  // lanes 4 g + k hold rows g and g + 8 of a, lanes 4 j + k column j of b
    std::memcpy(&row, cuda_on_cpu::slot(4 * g + k), sizeof row);
    for (unsigned j = 0; j < 2; ++j) {
      std::memcpy(&column, cuda_on_cpu::slot(4 * (2 * t + j) + k), sizeof column);
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < elements; ++i) {
          exact[j] += static_cast<double>(row.a[2 * half][i]) * column.b[half][i];
          exact[2 + j] += static_cast<double>(row.a[2 * half + 1][i]) * column.b[half][i];
        }
      }
    }
  }
  for (int i = 0; i < 4; ++i) sum[i] = truncated(exact[i]);
}

inline void multiply_bf16(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply<2>(sum, a, b0, b1);
}
inline void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply<1>(sum, a, b0, b1);
}

#endif

}  // namespace clipn::cuda

#endif  // CLIPN_TEST_CUDA_ON_CPU_PTX_H_
