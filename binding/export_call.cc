// exportModel: a checkpoint's tensor table to a model file (core.h, clipn_export).
#include <string>
#include <vector>

#include "arguments.h"
#include "lane.h"

// exportModel({checkpoint, target, tensors, architecture, dtype, imageOnly, clipnJson, tokenizerJson}) → undefined
Napi::Value Lane::export_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const auto in = info[0].As<Napi::Object>();

  struct Tensor {
    std::string name, dtype;
    std::vector<int64_t> shape, stride;
    uint64_t offset;
  };
  struct Input {
    std::string checkpoint, target, clipn_json, tokenizer_json;
    std::vector<Tensor> tensors;
    clipn_architecture architecture;
    clipn_precision dtype;
    uint32_t image_only;
  };
  auto input = std::make_shared<Input>();
  input->checkpoint = text(in, "checkpoint");
  input->target = text(in, "target");
  input->clipn_json = text(in, "clipnJson");
  input->tokenizer_json = text(in, "tokenizerJson");
  input->dtype = precision_of(text(in, "dtype"));
  input->image_only = in.Get("imageOnly").ToBoolean() ? 1 : 0;
  const auto arch = in.Get("architecture").As<Napi::Object>();
  input->architecture = {sizeof(clipn_architecture),
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
                         arch.Get("quickGelu").ToBoolean() ? 1U : 0U};
  const auto integers = [](const Napi::Value& value) {
    const auto list = value.As<Napi::Array>();
    std::vector<int64_t> out(list.Length());
    for (uint32_t i = 0; i < out.size(); ++i) out[i] = integer(list.Get(i));
    return out;
  };
  const auto tensors = in.Get("tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    const auto tensor = tensors.Get(i).As<Napi::Object>();
    input->tensors.push_back({text(tensor, "name"), text(tensor, "dtype"), integers(tensor.Get("shape")),
                              integers(tensor.Get("stride")), static_cast<uint64_t>(integer(tensor.Get("offset")))});
  }
  work->run = [core = &core_, input](clipn_error* error) {
    std::vector<clipn_tensor> table;
    for (const Tensor& t : input->tensors) {
      table.push_back({t.name.c_str(), t.dtype.c_str(), t.shape.data(), t.stride.data(),
                       static_cast<uint32_t>(t.shape.size()), t.offset});
    }
    const clipn_export_options options{sizeof(clipn_export_options),
                                       input->checkpoint.c_str(),
                                       input->target.c_str(),
                                       table.data(),
                                       table.size(),
                                       &input->architecture,
                                       input->dtype,
                                       input->image_only,
                                       input->clipn_json.c_str(),
                                       input->tokenizer_json.c_str()};
    return core->export_model(&options, error);
  };
  return submit(env, std::move(work));
}
