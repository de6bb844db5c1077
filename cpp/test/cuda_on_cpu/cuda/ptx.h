// The functions of cpp/cuda/ptx.h on a CPU, with the layouts of the PTX manual (matrix fragments of m16n8k16 and m16n8k8).
// CLIPN_TENSOR_CORES chooses sm_80's path or sm_75's. A tensor core's sum is modelled as exact products, added to the
// accumulator and truncated to fp32: what is known of the hardware is at least as good.
#ifndef CLIPN_TEST_CUDA_ON_CPU_PTX_H_
#define CLIPN_TEST_CUDA_ON_CPU_PTX_H_

#include <cmath>
#include <cstring>

#include "cuda_bf16.h"
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
  std::memcpy(cuda_on_cpu::slot(cuda_on_cpu::lane()), &row, sizeof row);
  cuda_on_cpu::warp_barrier();
  const unsigned lane = cuda_on_cpu::lane();
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const char* from;
    std::memcpy(&from, cuda_on_cpu::slot(matrix * 8 + lane / 4), sizeof from);
    std::memcpy(&to[matrix], from + lane % 4 * 4, 4);
  }
  cuda_on_cpu::warp_barrier();
}

inline uint32_t to_tf32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return std::isfinite(value) ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline float truncated(double exact) {
  const float nearest = static_cast<float>(exact);
  return std::abs(static_cast<double>(nearest)) > std::abs(exact) ? std::nextafter(nearest, 0.0f) : nearest;
}

// Element `part` of the registers that a lane put into its slot: a[4], then b[2].
struct Bf16Fragment {
  static constexpr int kPerRegister = 2;
  static double element(const char* slot, int reg, int part) {
    __nv_bfloat16 value;
    std::memcpy(&value, slot + reg * 4 + part * 2, 2);
    return static_cast<float>(value);
  }
};
struct Tf32Fragment {
  static constexpr int kPerRegister = 1;
  static double element(const char* slot, int reg, int) {
    uint32_t bits;
    std::memcpy(&bits, slot + reg * 4, 4);
    return __uint_as_float(bits & ~0x1fffu);  // the hardware reads no more
  }
};

template <typename Fragment>
void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  const unsigned lane = cuda_on_cpu::lane();
  std::memcpy(cuda_on_cpu::slot(lane), a, 16);
  std::memcpy(cuda_on_cpu::slot(lane) + 16, b, 8);
  cuda_on_cpu::warp_barrier();
  const unsigned g = lane / 4, t = lane % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned high_row = i / 2, column = 2 * t + i % 2;  // row g + 8 high_row
    double exact = sum[i];
    for (unsigned k = 0; k < 4; ++k) {  // lanes 4 g + k hold row g of a, lanes 4 column + k column `column` of b
      const char* row = cuda_on_cpu::slot(4 * g + k);
      const char* col = cuda_on_cpu::slot(4 * column + k);
      for (int half = 0; half < 2; ++half) {
        for (int part = 0; part < Fragment::kPerRegister; ++part) {
          exact += Fragment::element(row, static_cast<int>(high_row) + 2 * half, part) *
                   Fragment::element(col, 4 + half, part);
        }
      }
    }
    sum[i] = truncated(exact);
  }
  cuda_on_cpu::warp_barrier();
}

inline void multiply_bf16(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply<Bf16Fragment>(sum, a, b0, b1);
}
inline void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply<Tf32Fragment>(sum, a, b0, b1);
}

#endif

}  // namespace clipn::cuda

#endif  // CLIPN_TEST_CUDA_ON_CPU_PTX_H_
