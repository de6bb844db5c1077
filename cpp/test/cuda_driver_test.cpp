#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "cuda/driver.h"
#include "cuda/status.h"

namespace clipn {
namespace {

// What find_gpu says of the fake driver that tells `gpu` ("version,count,capability").
Gpu with(const char* gpu) {
  setenv("CLIPN_FAKE_GPU", gpu, 1);
  Gpu found = find_gpu(CLIPN_FAKE_DRIVER);
  unsetenv("CLIPN_FAKE_GPU");
  return found;
}

TEST(CudaDriver, DescribesTheGpu) {
  const Gpu gpu = with("13010,2,90");
  EXPECT_EQ(gpu.missing, CLIPN_CUDA_READY);
  EXPECT_EQ(gpu.reason, "");
  EXPECT_EQ(gpu.driver, 13010);
  EXPECT_EQ(gpu.devices, 2);
  EXPECT_EQ(gpu.capability, 90);
  EXPECT_EQ(gpu.name, "Fake GPU");
  EXPECT_EQ(gpu.memory, uint64_t{8} << 30);
}

TEST(CudaDriver, NamesTheMissingPiece) {
  EXPECT_EQ(find_gpu("libcuda-is-not-here.so.1").missing, CLIPN_CUDA_DRIVER);
  EXPECT_NE(find_gpu("libcuda-is-not-here.so.1").reason.find("libcuda-is-not-here"), std::string::npos);
  EXPECT_EQ(find_gpu("libm.so.6").missing, CLIPN_CUDA_DRIVER) << "a library that is no driver";
  EXPECT_EQ(with("-1,0,0").missing, CLIPN_CUDA_DRIVER) << "a driver that does not start";
  EXPECT_EQ(with("13000,0,0").missing, CLIPN_CUDA_DEVICE);
  EXPECT_EQ(with("13000,0,0").driver, 13000) << "known even without a device";
  const Gpu old = with("12020,1,61");
  EXPECT_EQ(old.missing, CLIPN_CUDA_ARCHITECTURE);
  EXPECT_NE(old.reason.find("6.1"), std::string::npos);
}

TEST(CudaStatus, TellsWhatAnErrorMeansForTheProcess) {
  EXPECT_EQ(status_of_cuda(0), CLIPN_OK);
  EXPECT_EQ(status_of_cuda(2), CLIPN_OUT_OF_MEMORY);
  EXPECT_EQ(status_of_cuda(209), CLIPN_DEVICE_UNAVAILABLE) << "no kernel image for the device";
  EXPECT_EQ(status_of_cuda(700), CLIPN_DEVICE_LOST) << "illegal address";
  EXPECT_EQ(status_of_cuda(719), CLIPN_DEVICE_LOST) << "launch failed";
  EXPECT_EQ(status_of_cuda(1), CLIPN_INTERNAL) << "invalid value";
}

}  // namespace
}  // namespace clipn
