// Which kernels run on this machine.
#ifndef CLIPN_CPU_DISPATCH_H_
#define CLIPN_CPU_DISPATCH_H_

#include <vector>

#include "cpu/kernels.h"

namespace clipn::cpu {

// Targets that this build has and that CPU and operating system can run, best first; "base" is always the last.
std::vector<const Kernels*> available();

// The best target, or the one called `forced` ("base", "avx2", "avx512", "avx512bf16"; NULL or "" for the best).
// Throws Error(CLIPN_INVALID_ARG) for an unknown name and for a target this machine or build lacks.
const Kernels& select(const char* forced);

// select(getenv("CLIPN_CPU")), decided at the first call. Thread-safe.
const Kernels& kernels();

// Whether the CPU has AVX-VNNI, which Kernels::multiply_codes takes.
bool has_avx_vnni();

// Whether the CPU multiplies bf16 in tiles.
bool has_amx_bf16();

}  // namespace clipn::cpu

#endif  // CLIPN_CPU_DISPATCH_H_
