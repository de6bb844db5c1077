// Checkpoint files that change while they are read, and the scratch file that weights lie in until they are written.
#include "model/checkpoint.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "error.h"
#include "model/scratch.h"
#include "tiny_checkpoint.h"

namespace clipn {
namespace {

TEST(CheckpointFile, ThatIsCutShortAfterItWasOpenedIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.bin";
  TinyCheckpoint tiny(path);
  const CheckpointFile checkpoint(path.c_str(), tiny.tensors.data(), tiny.tensors.size());
  const std::vector<int64_t> shape = {TinyCheckpoint::kWidth, TinyCheckpoint::kEmbed};
  for (const uint64_t end : {tiny.tensor("visual.proj").offset + 8, uint64_t{0}}) {
    std::filesystem::resize_file(path, end);
    try {
      checkpoint.get("visual.proj", shape);
      ADD_FAILURE() << "read from a file of " << end << " bytes";
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), CLIPN_IO);
      EXPECT_EQ(error.what(), path + " became shorter while tensor visual.proj was read");
    }
  }
}

TEST(CheckpointFile, KeepsWhatWasReadWhenTheFileIsCutShort) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.bin";
  TinyCheckpoint tiny(path);
  const CheckpointFile checkpoint(path.c_str(), tiny.tensors.data(), tiny.tensors.size());
  const std::vector<double> expected = tiny.row("visual.class_embedding", 0);
  const at::Tensor tensor = checkpoint.get("visual.class_embedding", {TinyCheckpoint::kWidth});
  std::filesystem::resize_file(path, 0);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(tensor.const_data_ptr<float>()[i], expected[i]);
}

TEST(Scratch, KeepsTensorsUnderNoName) {
  const TemporaryFolder folder;
  const std::string target = folder / "model.pt";
  Scratch scratch(target.c_str());
  EXPECT_TRUE(std::filesystem::is_empty(std::filesystem::path(target).parent_path()));
  constexpr int64_t kRows = 3, kColumns = 5000;  // neither ends with a page
  const at::Tensor wide = scratch.keep(at::arange(kRows * kColumns, at::kFloat).view({kColumns, kRows}).t());
  const at::Tensor whole = scratch.keep(at::arange(7, at::kLong));
  // More than is read and written at a time.
  const auto large = scratch.keep(at::kByte, {3 << 20, 1}, [](size_t offset, std::byte* out, size_t count) {
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>((offset + i) % 251);
  });
  EXPECT_EQ(scratch.keep(at::zeros({0, 4})).sizes(), at::IntArrayRef({0, 4}));
  scratch.forget();
  ASSERT_EQ(wide.sizes(), at::IntArrayRef({kRows, kColumns}));
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t column = 0; column < kColumns; ++column) {
      ASSERT_EQ(wide.const_data_ptr<float>()[row * kColumns + column], static_cast<float>(column * kRows + row));
    }
  }
  for (int64_t i = 0; i < 3 << 20; ++i) ASSERT_EQ(large.const_data_ptr<uint8_t>()[i], i % 251);
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(whole.const_data_ptr<int64_t>()[i], i);
}

}  // namespace
}  // namespace clipn
