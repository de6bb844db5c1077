// Compiled with baseline flags and without link-time optimisation: it runs before anything is known about the CPU.
#include "cpu/dispatch.h"

#if defined(CLIPN_X86_TARGETS)
#include <cpuid.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "error.h"

namespace clipn::cpu {
namespace {

constexpr const char* kNames[] = {"avx512bf16", "avx512", "avx2", "base"};

#if defined(CLIPN_X86_TARGETS)
enum class Register : uint8_t { kEax, kEdx };

// A bit of CPUID's leaf 7, for what __builtin_cpu_supports does not know in every compiler.
bool extended_feature(unsigned int subleaf, Register where, unsigned int bit) {
  unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, subleaf, &eax, &ebx, &ecx, &edx) == 0) return false;
  return ((where == Register::kEax ? eax : edx) >> bit & 1U) != 0;
}
#endif

std::string names(const std::vector<const Kernels*>& targets) {
  std::string text;
  for (const Kernels* target : targets) text += (text.empty() ? "" : ", ") + std::string(target->name);
  return text;
}

}  // namespace

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> targets;
#if defined(CLIPN_X86_TARGETS)
  // Both features and the operating system's saving of the wide registers (XCR0) are behind these answers.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) targets.push_back(&avx512bf16::kernels);
  if (avx512) targets.push_back(&avx512::kernels);
  if (avx2) targets.push_back(&avx2::kernels);
#endif
  targets.push_back(&base::kernels);
  return targets;
}

const Kernels& select(const char* forced) {
  const std::vector<const Kernels*> targets = available();
  if (forced == nullptr || *forced == '\0') return *targets.front();
  for (const Kernels* target : targets) {
    if (std::strcmp(target->name, forced) == 0) return *target;
  }
  for (const char* name : kNames) {
    if (std::strcmp(name, forced) == 0) {
      throw Error(CLIPN_INVALID_ARG, "CLIPN_CPU=" + std::string(forced) + " is not available: this machine and build " +
                                         "can run " + names(targets) + "; unset CLIPN_CPU or name one of these");
    }
  }
  throw Error(CLIPN_INVALID_ARG,
              "CLIPN_CPU=" + std::string(forced) + " is unknown: use base, avx2, avx512 or avx512bf16, or unset it");
}

const Kernels& kernels() {
  static const Kernels& chosen = select(std::getenv("CLIPN_CPU"));
  return chosen;
}

bool has_avx_vnni() {
#if defined(CLIPN_X86_TARGETS)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && extended_feature(1, Register::kEax, 4);
#else
  return false;
#endif
}

bool has_amx_bf16() {
#if defined(CLIPN_X86_TARGETS)
  return extended_feature(0, Register::kEdx, 22);
#else
  return false;
#endif
}

}  // namespace clipn::cpu
