// The tensors of a checkpoint and the network they belong to, as lib/ passes them: owned here while a job runs.
#pragma once

#include <string>
#include <vector>

#include "arguments.h"

struct TensorTable {
  struct Tensor {
    std::string name, dtype;
    std::vector<int64_t> shape, stride;
    uint64_t offset;
  };
  std::vector<Tensor> tensors;

  // {name, dtype, shape, stride, offset}[]
  explicit TensorTable(const Napi::Array& list) {
    const auto integers = [](const Napi::Value& value) {
      const auto numbers = value.As<Napi::Array>();
      std::vector<int64_t> out(numbers.Length());
      for (uint32_t i = 0; i < out.size(); ++i) out[i] = integer(numbers.Get(i));
      return out;
    };
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const auto tensor = list.Get(i).As<Napi::Object>();
      tensors.push_back({text(tensor, "name"), text(tensor, "dtype"), integers(tensor.Get("shape")),
                         integers(tensor.Get("stride")), static_cast<uint64_t>(integer(tensor.Get("offset")))});
    }
  }

  // Points into `tensors`.
  std::vector<clipn_tensor> view() const {
    std::vector<clipn_tensor> out;
    for (const Tensor& t : tensors) {
      out.push_back({t.name.c_str(), t.dtype.c_str(), t.shape.data(), t.stride.data(),
                     static_cast<uint32_t>(t.shape.size()), t.offset});
    }
    return out;
  }
};

inline clipn_architecture architecture_of(const Napi::Object& arch) {
  return {sizeof(clipn_architecture),
          number(arch, "embedDim"),
          number(arch, "imageSize"),
          number(arch, "patchSize"),
          number(arch, "visionWidth"),
          number(arch, "visionHeads"),
          number(arch, "visionLayers"),
          number(arch, "contextLength"),
          number(arch, "vocabSize"),
          number(arch, "textWidth"),
          number(arch, "textHeads"),
          number(arch, "textLayers"),
          arch.Get("quickGelu").ToBoolean() ? 1U : 0U,
          number(arch, "visionMlp"),
          number(arch, "textMlp")};
}
