// What this machine's vector units reach: multiply-adds in registers and nothing else, for each arithmetic that a tower
// uses. The benchmarks give every tower's rate as a share of it.
//
//   peak [--threads N] [--rounds R]     one JSON object: {"rows": [...], "unmeasured": "..."}
//
// A product and its sum are two operations. Every loop keeps so many sums of its own that none waits for another: the
// longest latency is 6 cycles, at two instructions a cycle 12 sums. Each thread has a core of its own: left to itself
// the kernel may keep two on one, and a round takes twice as long. The fastest round is the peak. No libtorch, no
// library: `c++ -O3 -std=c++20 -pthread peak.cpp`. AMX is not measured (no machine at hand had it).
#include <sched.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// Numbers to multiply, in memory so that the compiler does not know them: floats and pairs of bf16 in [1/2, 1), whose
// sums grow and then stand still; as bytes, sums that wrap.
struct alignas(64) Operands {
  uint32_t words[4][16];
};

// Runs `turns` rounds over all sums and returns something that depends on all of them.
using Loop = double (*)(int64_t turns, const Operands& operands);

struct Kind {
  const char* precision;
  const char* instruction;
  // Operations of one turn.
  int64_t operations;
  Loop loop;
};

#if defined(__x86_64__)

// Sums that fit in the registers beside four operands: 32 registers of 512 bits, 16 of 256.
constexpr int kWide = 24, kNarrow = 12;

template <typename T, size_t N, size_t M>
double total(const T (&numbers)[N][M]) {
  double all = 0;
  for (const auto& row : numbers) {
    for (const T number : row) all += static_cast<double>(number);
  }
  return all;
}

// Every loop over the sums is unrolled, or the compiler keeps them in memory, too.

__attribute__((target("avx512f"))) double fp32_avx512(int64_t turns, const Operands& operands) {
  __m512 sums[kWide], x[2], y[2];
  for (int i = 0; i < 2; ++i) {
    x[i] = _mm512_loadu_ps(operands.words[i]);
    y[i] = _mm512_loadu_ps(operands.words[2 + i]);
  }
#pragma GCC unroll 24
  for (int i = 0; i < kWide; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 24
    for (int i = 0; i < kWide; ++i) sums[i] = _mm512_fmadd_ps(x[i % 2], y[i / 2 % 2], sums[i]);
  }
  float out[kWide][16];
#pragma GCC unroll 24
  for (int i = 0; i < kWide; ++i) _mm512_storeu_ps(out[i], sums[i]);
  return total(out);
}

__attribute__((target("avx512f,avx512bf16"))) double bf16_avx512(int64_t turns, const Operands& operands) {
  __m512 sums[kWide];
  __m512bh x[2], y[2];
  for (int i = 0; i < 2; ++i) {
    x[i] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(operands.words[i]));
    y[i] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(operands.words[2 + i]));
  }
#pragma GCC unroll 24
  for (int i = 0; i < kWide; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 24
    for (int i = 0; i < kWide; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], x[i % 2], y[i / 2 % 2]);
  }
  float out[kWide][16];
#pragma GCC unroll 24
  for (int i = 0; i < kWide; ++i) _mm512_storeu_ps(out[i], sums[i]);
  return total(out);
}

__attribute__((target("avx512f,avx512vnni"))) double int8_avx512(int64_t turns, const Operands& operands) {
  __m512i sums[kWide], x[2], y[2];
  for (int i = 0; i < 2; ++i) {
    x[i] = _mm512_loadu_si512(operands.words[i]);
    y[i] = _mm512_loadu_si512(operands.words[2 + i]);
  }
#pragma GCC unroll 24
  for (int i = 0; i < kWide; ++i) sums[i] = _mm512_set1_epi32(i);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 24
    for (int i = 0; i < kWide; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], x[i % 2], y[i / 2 % 2]);
  }
  int32_t out[kWide][16];
#pragma GCC unroll 24
  for (int i = 0; i < kWide; ++i) _mm512_storeu_si512(out[i], sums[i]);
  return total(out);
}

__attribute__((target("avx2,fma"))) double fp32_avx2(int64_t turns, const Operands& operands) {
  __m256 sums[kNarrow], x[2], y[2];
  for (int i = 0; i < 2; ++i) {
    x[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(operands.words[i]));
    y[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(operands.words[2 + i]));
  }
#pragma GCC unroll 12
  for (int i = 0; i < kNarrow; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 12
    for (int i = 0; i < kNarrow; ++i) sums[i] = _mm256_fmadd_ps(x[i % 2], y[i / 2 % 2], sums[i]);
  }
  float out[kNarrow][8];
#pragma GCC unroll 12
  for (int i = 0; i < kNarrow; ++i) _mm256_storeu_ps(out[i], sums[i]);
  return total(out);
}

__attribute__((target("avx2,avxvnni"))) double int8_avx2(int64_t turns, const Operands& operands) {
  __m256i sums[kNarrow], x[2], y[2];
  for (int i = 0; i < 2; ++i) {
    x[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(operands.words[i]));
    y[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(operands.words[2 + i]));
  }
#pragma GCC unroll 12
  for (int i = 0; i < kNarrow; ++i) sums[i] = _mm256_set1_epi32(i);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 12
    for (int i = 0; i < kNarrow; ++i) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], x[i % 2], y[i / 2 % 2]);
  }
  int32_t out[kNarrow][8];
#pragma GCC unroll 12
  for (int i = 0; i < kNarrow; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[i]), sums[i]);
  return total(out);
}

// Sums that fit beside four operands and the products.
constexpr int kWords = 10;

// Bytes as words of 16 bits, where there is no instruction for bytes (tower/code_products.inl).
__attribute__((target("avx2"))) double int8_as_words(int64_t turns, const Operands& operands) {
  __m256i sums[kWords], x[2], y[2];
  for (int i = 0; i < 2; ++i) {
    x[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(operands.words[i]));
    y[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(operands.words[2 + i]));
  }
#pragma GCC unroll 10
  for (int i = 0; i < kWords; ++i) sums[i] = _mm256_set1_epi32(i);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 10
    for (int i = 0; i < kWords; ++i) {
      __m256i product;
      // Written out, or the compiler multiplies the same registers only once.
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(x[i % 2]), "x"(y[i / 2 % 2]));
      sums[i] = _mm256_add_epi32(sums[i], product);
    }
  }
  int32_t out[kWords][8];
#pragma GCC unroll 10
  for (int i = 0; i < kWords; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[i]), sums[i]);
  return total(out);
}

// What this CPU has. GCC's answers include that the operating system saves the wide registers.
std::vector<Kind> available() {
  __builtin_cpu_init();
  std::vector<Kind> kinds;
  const bool avx512 = __builtin_cpu_supports("avx512f");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512) kinds.push_back({"fp32", "vfmadd, 512 bits", 2 * 16 * kWide, fp32_avx512});
  if (avx512 && __builtin_cpu_supports("avx512bf16")) {
    kinds.push_back({"bf16", "vdpbf16ps, 512 bits", 2 * 32 * kWide, bf16_avx512});
  }
  if (avx512 && __builtin_cpu_supports("avx512vnni")) {
    kinds.push_back({"int8", "vpdpbusd, 512 bits", 2 * 64 * kWide, int8_avx512});
  }
  if (avx2) kinds.push_back({"fp32", "vfmadd, 256 bits", 2 * 8 * kNarrow, fp32_avx2});
  if (avx2 && __builtin_cpu_supports("avxvnni")) {
    kinds.push_back({"int8", "vpdpbusd, 256 bits", 2 * 32 * kNarrow, int8_avx2});
  }
  if (avx2) kinds.push_back({"int8", "vpmaddwd and vpaddd, 256 bits", 2 * 16 * kWords, int8_as_words});
  return kinds;
}

// What is faster than anything here, and not measured; null where there is nothing of the kind.
const char* unmeasured() { return __builtin_cpu_supports("amx-tile") ? "AMX, which bf16 and int8 may use" : nullptr; }

#else

std::vector<Kind> available() { return {}; }
const char* unmeasured() { return "this is no x86-64 CPU, and its instructions are not known here"; }

#endif

// Logical CPUs that this process may use, one of each core before any second one.
std::vector<int> cpus() {
  cpu_set_t allowed;
  std::vector<int> first, others;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return {};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    int lowest = cpu;
    std::ifstream(folder + "thread_siblings_list") >> lowest;
    (lowest == cpu ? first : others).push_back(cpu);
  }
  first.insert(first.end(), others.begin(), others.end());
  return first;
}

void stay_on(int cpu) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  sched_setaffinity(0, sizeof(only), &only);  // where it is refused, the kernel's choice has to do
}

volatile double consumed;  // so that no loop is without a result

// Seconds from the moment when all threads begin until the last of them is through.
double seconds(const Kind& kind, const std::vector<int>& on, int threads, int64_t turns, const Operands& operands) {
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> begun(threads), done(threads);
  std::vector<double> sums(threads);
  std::barrier together(threads);
  auto work = [&](int i) {
    if (!on.empty()) stay_on(on[i % on.size()]);
    together.arrive_and_wait();
    begun[i] = Clock::now();
    sums[i] = kind.loop(turns, operands);
    done[i] = Clock::now();
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& other : others) other.join();
  for (const double sum : sums) consumed = consumed + sum;
  const auto first = *std::min_element(begun.begin(), begun.end());
  return std::chrono::duration<double>(*std::max_element(done.begin(), done.end()) - first).count();
}

int number(int argc, char** argv, const char* flag, int otherwise) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], flag) == 0) return std::max(1, std::atoi(argv[i + 1]));
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<int> on = cpus();
  const int all = number(argc, argv, "--threads", static_cast<int>(std::max<size_t>(1, on.size())));
  const int rounds = number(argc, argv, "--rounds", 40);
  constexpr double kRound = 0.02;  // seconds
  Operands operands;
  for (auto& words : operands.words) {
    uint32_t state = 1;
    // Two bf16 in [1/2, 1), and a float there too: its sign and exponent are those of the upper one.
    for (uint32_t& word : words) {
      state = state * 1103515245U + 12345U;
      word = 0x3F003F00U | (state >> 8 & 0x007F007FU);
    }
  }

  struct Run {
    Kind kind;
    int threads;
    int64_t turns;
    std::vector<double> rates;  // 10^9 operations a second
  };
  std::vector<Run> runs;
  for (const Kind& kind : available()) {
    for (const int threads : {all, 1}) {
      int64_t turns = 1 << 16;
      while (seconds(kind, on, threads, turns, operands) < kRound) turns *= 2;
      runs.push_back({kind, threads, turns, {}});
      if (all == 1) break;
    }
  }
  // Taking turns: what slows the machine for a while slows them all.
  for (int round = 0; round < rounds; ++round) {
    for (Run& run : runs) {
      const double done = static_cast<double>(run.turns) * static_cast<double>(run.kind.operations) * run.threads;
      run.rates.push_back(done / seconds(run.kind, on, run.threads, run.turns, operands) / 1e9);
    }
  }
  std::printf("{\"rows\":[");
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    std::printf("%s\n {\"precision\":\"%s\",\"instruction\":\"%s\",\"threads\":%d,\"rates\":[", i == 0 ? "" : ",",
                run.kind.precision, run.kind.instruction, run.threads);
    for (size_t k = 0; k < run.rates.size(); ++k) std::printf("%s%.2f", k == 0 ? "" : ",", run.rates[k]);
    std::printf("]}");
  }
  std::printf("],\n \"unmeasured\":");
  if (const char* what = unmeasured()) {
    std::printf("\"%s\"}\n", what);
  } else {
    std::printf("null}\n");
  }
}
