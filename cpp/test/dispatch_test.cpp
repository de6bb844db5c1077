#include "cpu/dispatch.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "error.h"

namespace clipn::cpu {
namespace {

TEST(Dispatch, BaseIsAlwaysAvailableAndComesLast) { EXPECT_STREQ(available().back()->name, "base"); }

TEST(Dispatch, WithoutAWishTheBestTargetRuns) {
  EXPECT_EQ(&select(nullptr), available().front());
  EXPECT_EQ(&select(""), available().front());
}

// The kernel's word on the CPU against ours: a build that lost its targets would else pass every test on base alone.
TEST(Dispatch, OffersWhatTheCpuHas) {
#if defined(__x86_64__) && defined(__linux__)
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (line.rfind("flags", 0) != 0 && std::getline(file, line)) {
  }
  if (line.rfind("flags", 0) != 0) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  const auto has = [&line](const char* flag) {
    return (line + " ").find(" " + std::string(flag) + " ") != std::string::npos;
  };
  const bool avx2 = has("avx2") && has("fma");
  const bool avx512 = avx2 && has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  const bool bf16 = avx512 && has("avx512_bf16");
  EXPECT_EQ(available().size(), 1u + avx2 + avx512 + bf16);
#else
  EXPECT_EQ(available().size(), 1u);
#endif
}

TEST(Dispatch, EachTargetHasItsOwnCode) {
  for (const Kernels* target : available()) {
    if (target == &base::kernels) continue;
    EXPECT_NE(target->score_block, base::kernels.score_block) << target->name;
    EXPECT_NE(target->resize_vertical, base::kernels.resize_vertical) << target->name;
  }
}

TEST(Dispatch, AnUnknownNameIsRefused) {
  try {
    select("avx1024");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), CLIPN_INVALID_ARG);
    EXPECT_NE(std::string(error.what()).find("CLIPN_CPU=avx1024 is unknown"), std::string::npos) << error.what();
  }
}

TEST(Dispatch, ATargetTheMachineLacksIsRefused) {
  constexpr const char* kBetter[] = {"avx2", "avx512", "avx512bf16"};
  if (available().size() == 4) GTEST_SKIP() << "this machine runs every target";
  const char* missing = kBetter[available().size() - 1];
  try {
    select(missing);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), CLIPN_INVALID_ARG);
    EXPECT_NE(std::string(error.what()).find("is not available"), std::string::npos) << error.what();
  }
}

// A fresh process, since the choice is made once.
class DispatchDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(DispatchDeathTest, TheTargetThatClipnCpuNamesRuns) {
  for (const Kernels* target : available()) {
    EXPECT_EXIT(
        {
          setenv("CLIPN_CPU", target->name, 1);
          std::fprintf(stderr, "ran %s.", kernels().name);
          std::exit(0);
        },
        testing::ExitedWithCode(0), "ran " + std::string(target->name) + "\\.");
  }
}

TEST_F(DispatchDeathTest, AWrongClipnCpuIsAnErrorAtEveryCall) {
  EXPECT_EXIT(
      {
        setenv("CLIPN_CPU", "neon", 1);
        int errors = 0;
        for (int call = 0; call < 2; ++call) {
          try {
            kernels();
          } catch (const Error&) {
            ++errors;
          }
        }
        std::exit(errors);
      },
      testing::ExitedWithCode(2), "");
}

}  // namespace
}  // namespace clipn::cpu
