// exportTorchScript: a model and a label bank to one TorchScript module (core.h, clipn_export_torchscript).
#include <array>
#include <memory>
#include <string>

#include "arguments.h"
#include "lane.h"
#include "score_input.h"

// exportTorchScript({model, target, bank, side, normalised, mean, std, json}), bank as the input of score without
// images
//   → undefined
Napi::Value Lane::export_torchscript(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const auto in = info[0].As<Napi::Object>();
  struct Input {
    std::string model, target, json;
    std::shared_ptr<ScoreInput> bank;
    uint32_t side, normalised;
    std::array<float, 3> mean, std;
  };
  const auto input = std::make_shared<Input>(Input{text(in, "model"), text(in, "target"), text(in, "json"),
                                                   score_input(env, in.Get("bank").As<Napi::Object>(), *work),
                                                   number(in, "side"), in.Get("normalised").ToBoolean() ? 1U : 0U,
                                                   three(in.Get("mean")), three(in.Get("std"))});
  work->run = [core = &core_, input](clipn_error* error) {
    const std::array<float, 3>&mean = input->mean, &std = input->std;
    const clipn_torchscript_options options{sizeof(clipn_torchscript_options),
                                            input->model.c_str(),
                                            input->target.c_str(),
                                            &input->bank->input,
                                            input->side,
                                            input->normalised,
                                            {mean[0], mean[1], mean[2]},
                                            {std[0], std[1], std[2]},
                                            input->json.c_str()};
    return core->export_torchscript(&options, error);
  };
  work->result = [](Napi::Env e) -> Napi::Value { return e.Undefined(); };
  return submit(env, std::move(work));
}
