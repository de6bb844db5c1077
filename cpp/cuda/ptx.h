// The instructions that CUDA C++ has no word for. A test that runs the kernels on the CPU brings a header of this name
// with the same functions.
#ifndef CLIPN_CUDA_PTX_H_
#define CLIPN_CUDA_PTX_H_

#include <stdint.h>

namespace clipn::cuda {

// bf16 and TF32 matrix instructions and asynchronous copies: sm_80 and later.
#define CLIPN_TENSOR_CORES (__CUDA_ARCH__ >= 800)

__device__ __forceinline__ char* dynamic_shared() {
  extern __shared__ __align__(128) char memory[];
  return memory;
}

#if CLIPN_TENSOR_CORES

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes from global to shared memory, some time before wait_for_copies; zeros when not `there`.
__device__ __forceinline__ void copy_16_bytes(char* to, const char* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0)
               : "memory");
}

// Closes a group of copies; it may be empty.
__device__ __forceinline__ void end_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `ahead` groups are still under way.
template <int ahead>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(ahead) : "memory");
}

// Four 8 x 8 matrices of 16-bit elements (8 x 4 of 32 bits): lane l names the 16 bytes of row l % 8 of matrix l / 8 and
// receives, of each matrix, 32 bits of row l / 4 at 4 (l % 4).
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const char* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// sum [16, 8] += a [16, 16] b [8, 16]^T, bf16.
__device__ __forceinline__ void multiply_bf16(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// sum [16, 8] += a [16, 8] b [8, 8]^T, TF32.
__device__ __forceinline__ void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Rounded to TF32's 11 significant bits, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float value) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

#else

__device__ __forceinline__ void copy_16_bytes(char* to, const char* from, bool there) {
  *reinterpret_cast<uint4*>(to) = there ? *reinterpret_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
}

__device__ __forceinline__ void end_of_copies() {}

template <int ahead>
__device__ __forceinline__ void wait_for_copies() {}

#endif

}  // namespace clipn::cuda

#endif  // CLIPN_CUDA_PTX_H_
