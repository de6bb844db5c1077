// Runs a test suite once per CPU target of this machine.
#ifndef CLIPN_TEST_TARGETS_H_
#define CLIPN_TEST_TARGETS_H_

#include <gtest/gtest.h>

#include <string>

#include "cpu/dispatch.h"

namespace clipn {

class PerTarget : public testing::TestWithParam<const cpu::Kernels*> {};

inline std::string target_name(const testing::TestParamInfo<const cpu::Kernels*>& info) { return info.param->name; }

#define CLIPN_FOR_EVERY_TARGET(suite) \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::ValuesIn(cpu::available()), target_name)

}  // namespace clipn

#endif  // CLIPN_TEST_TARGETS_H_
