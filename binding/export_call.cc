// exportModel: a checkpoint's tensor table to a model file (core.h, clipn_export).
#include <string>

#include "arguments.h"
#include "lane.h"
#include "tensor_table.h"

// exportModel({checkpoint, target, tensors, architecture, dtype, imageOnly, clipnJson, tokenizerJson}) → undefined
Napi::Value Lane::export_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const auto in = info[0].As<Napi::Object>();

  struct Input {
    std::string checkpoint, target, clipn_json, tokenizer_json;
    TensorTable tensors;
    clipn_architecture architecture;
    clipn_precision dtype;
    uint32_t image_only;
  };
  const auto input = std::make_shared<Input>(Input{
      text(in, "checkpoint"), text(in, "target"), text(in, "clipnJson"), text(in, "tokenizerJson"),
      TensorTable(in.Get("tensors").As<Napi::Array>()), architecture_of(in.Get("architecture").As<Napi::Object>()),
      precision_of(text(in, "dtype")), in.Get("imageOnly").ToBoolean() ? 1U : 0U});
  work->run = [core = &core_, input](clipn_error* error) {
    const std::vector<clipn_tensor> table = input->tensors.view();
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
