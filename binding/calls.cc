// What a lane can be asked for. Each call reads its arguments on the JS thread, captures plain data, and leaves the
// rest to the core. lib/native.ts has the types.
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "errors.h"
#include "lane.h"

namespace {

constexpr napi_type_tag kModelTag = {0x0c11b2a6d0f94e7aULL, 0x9c1f3de4b58a7066ULL};

using SharedModel = std::shared_ptr<clipn_model>;

SharedModel& model_of(const Napi::Value& value) {
  auto external = value.As<Napi::External<SharedModel>>();
  if (!value.IsExternal() || !external.CheckTypeTag(&kModelTag)) {
    throw coded_error(value.Env(), "ERR_CLIPN_INTERNAL", "not a model handle");
  }
  if (!*external.Data()) throw coded_error(value.Env(), "ERR_CLIPN_CLOSED", "the model is closed");
  return *external.Data();
}

std::array<float, 3> three(const Napi::Value& value) {
  const auto list = value.As<Napi::Array>();
  std::array<float, 3> out{};
  for (uint32_t i = 0; i < 3; ++i) out[i] = list.Get(i).As<Napi::Number>().FloatValue();
  return out;
}

int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

std::string text(const Napi::Object& object, const char* key) { return object.Get(key).As<Napi::String>(); }

uint32_t number(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Uint32Value();
}

clipn_precision precision_of(const std::string& name) {
  if (name == "bf16") return CLIPN_BF16;
  return name == "fp16" ? CLIPN_FP16 : CLIPN_FP32;
}

Napi::Float32Array floats(Napi::Env env, const std::vector<float>& values) {
  auto array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

}  // namespace

// openModel(path, precision: 'fp32' | 'bf16') → {handle, methods, clipnJson, tokenizerJson}
Napi::Value Lane::open_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  auto model = std::make_shared<SharedModel>();
  auto about = std::make_shared<clipn_model_info>();
  work->run = [core = &core_, path = info[0].As<Napi::String>().Utf8Value(),
               precision = precision_of(info[1].As<Napi::String>()), model, about](clipn_error* error) {
    const clipn_model_options options{sizeof(clipn_model_options), precision};
    clipn_model* opened = nullptr;
    const clipn_status status = core->model_open(path.c_str(), &options, &opened, error);
    if (status != CLIPN_OK) return status;
    model->reset(opened, core->model_close);
    about->size = sizeof(clipn_model_info);
    return core->model_describe(opened, about.get(), error);
  };
  work->result = [model, about](Napi::Env e) -> Napi::Value {
    auto handle = Napi::External<SharedModel>::New(e, std::make_unique<SharedModel>(*model).release(),
                                                   [](Napi::Env, SharedModel* owned) { delete owned; });
    handle.TypeTag(&kModelTag);
    Napi::Object out = Napi::Object::New(e);
    out.Set("handle", handle);
    out.Set("methods", about->methods);
    out.Set("clipnJson", about->clipn_json);
    out.Set("tokenizerJson", about->tokenizer_json);
    return out;
  };
  return submit(env, std::move(work));
}

Napi::Value close_model(const Napi::CallbackInfo& info) {
  model_of(info[0]).reset();
  return info.Env().Undefined();
}

// encodeImages(model, images: {data, width, height, channels}[], {side, mean, std, dim, pixels})
//   → {features: Float32Array [n*d], pixels: Uint8Array [n*s*s*3] | undefined}
Napi::Value Lane::encode_images(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const SharedModel model = model_of(info[0]);
  const auto list = info[1].As<Napi::Array>();
  const auto options = info[2].As<Napi::Object>();

  std::vector<clipn_image> images(list.Length());
  for (uint32_t i = 0; i < images.size(); ++i) {
    const auto image = list.Get(i).As<Napi::Object>();
    const auto data = image.Get("data").As<Napi::Uint8Array>();
    const uint32_t width = number(image, "width"), height = number(image, "height"),
                   channels = number(image, "channels");
    const uint64_t stride = static_cast<uint64_t>(width) * channels;
    if (data.ByteLength() < stride * height) {
      throw coded_error(env, "ERR_CLIPN_INVALID_ARG", "images[" + std::to_string(i) + "].data is too short");
    }
    images[i] = {data.Data(), width, height, channels, stride};
    work->keep.push_back(Napi::Persistent(data.As<Napi::Object>()));
  }
  const uint32_t side = number(options, "side"), dim = number(options, "dim");
  const bool want_pixels = options.Get("pixels").ToBoolean();

  auto features = std::make_shared<std::vector<float>>();
  auto pixels = std::make_shared<std::vector<uint8_t>>();
  work->run = [core = &core_, model, images = std::move(images), side, dim, mean = three(options.Get("mean")),
               std = three(options.Get("std")), features, pixels](clipn_error* error) {
    const size_t n = images.size(), each = static_cast<size_t>(side) * side * 3;
    pixels->resize(n * each);
    features->resize(n * dim);
    for (size_t i = 0; i < n; ++i) {
      const clipn_status status = core->preprocess(&images[i], side, pixels->data() + i * each, error);
      if (status != CLIPN_OK) return status;
    }
    const clipn_image_batch batch{
        sizeof(clipn_image_batch), side, pixels->data(), static_cast<int64_t>(n), {mean[0], mean[1], mean[2]},
        {std[0], std[1], std[2]}};
    return core->encode_images(model.get(), &batch, dim, features->data(), error);
  };
  work->result = [features, pixels, want_pixels](Napi::Env e) -> Napi::Value {
    Napi::Object out = Napi::Object::New(e);
    out.Set("features", floats(e, *features));
    if (want_pixels) {
      auto bytes = Napi::Uint8Array::New(e, pixels->size());
      std::memcpy(bytes.Data(), pixels->data(), pixels->size());
      out.Set("pixels", bytes);
    }
    return out;
  };
  return submit(env, std::move(work));
}

// encodeText(model, tower: 'yes' | 'no', ids: BigInt64Array [n*l], n, l, d) → Float32Array [n*d]
Napi::Value Lane::encode_text(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const SharedModel model = model_of(info[0]);
  const clipn_tower tower = info[1].As<Napi::String>().Utf8Value() == "no" ? CLIPN_TEXT_NO : CLIPN_TEXT_YES;
  const auto array = info[2].As<Napi::BigInt64Array>();
  const int64_t n = integer(info[3]), l = integer(info[4]), d = integer(info[5]);
  if (array.ElementLength() != static_cast<size_t>(n * l)) {
    throw coded_error(env, "ERR_CLIPN_INVALID_ARG", "ids does not have n * l entries");
  }
  auto features = std::make_shared<std::vector<float>>();
  work->run = [core = &core_, model, tower, ids = std::vector<int64_t>(array.Data(), array.Data() + n * l), n, l, d,
               features](clipn_error* error) {
    features->resize(static_cast<size_t>(n * d));
    return core->encode_text(model.get(), tower, ids.data(), n, l, d, features->data(), error);
  };
  work->result = [features](Napi::Env e) -> Napi::Value { return floats(e, *features); };
  return submit(env, std::move(work));
}

// score({features, yes, no | undefined, n, c, d, k, scale, logits: boolean}) → one array per field of
// clipn_score_output
Napi::Value Lane::score(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const auto in = info[0].As<Napi::Object>();
  const int64_t n = integer(in.Get("n")), c = integer(in.Get("c")), d = integer(in.Get("d")), k = integer(in.Get("k"));
  const auto rows = [&](const char* key, int64_t count) -> const float* {
    const Napi::Value value = in.Get(key);
    if (value.IsUndefined()) return nullptr;
    const auto array = value.As<Napi::Float32Array>();
    if (array.ElementLength() != static_cast<size_t>(count * d)) {
      throw coded_error(env, "ERR_CLIPN_INVALID_ARG", std::string(key) + " does not have the size its shape says");
    }
    work->keep.push_back(Napi::Persistent(array.As<Napi::Object>()));
    return array.Data();
  };
  const clipn_score_input input{sizeof(clipn_score_input),
                                in.Get("scale").As<Napi::Number>().FloatValue(),
                                rows("features", n),
                                rows("yes", c),
                                rows("no", c),
                                n,
                                c,
                                d,
                                k};
  const bool logits = in.Get("logits").ToBoolean();

  // The nine per-image scores, then the top lists and logits.
  struct Output {
    std::array<std::vector<float>, 9> scores;
    std::vector<int32_t> top_index;
    std::vector<float> top_p, top_p_yes, logits_yes, logits_no;
  };
  auto out = std::make_shared<Output>();
  work->run = [core = &core_, input, logits, out](clipn_error* error) {
    const auto n = static_cast<size_t>(input.n), nk = n * static_cast<size_t>(input.k),
               nc = n * static_cast<size_t>(input.c);
    for (auto& score : out->scores) score.resize(n);
    out->top_index.resize(nk);
    out->top_p.resize(nk);
    out->top_p_yes.resize(nk);
    if (logits) {
      out->logits_yes.resize(nc);
      if (input.bank_no != nullptr) out->logits_no.resize(nc);
    }
    auto& s = out->scores;
    const clipn_score_output output{sizeof(clipn_score_output),
                                    s[0].data(),
                                    s[1].data(),
                                    s[2].data(),
                                    s[3].data(),
                                    s[4].data(),
                                    s[5].data(),
                                    s[6].data(),
                                    s[7].data(),
                                    s[8].data(),
                                    out->top_index.data(),
                                    out->top_p.data(),
                                    out->top_p_yes.data(),
                                    out->logits_yes.empty() ? nullptr : out->logits_yes.data(),
                                    out->logits_no.empty() ? nullptr : out->logits_no.data()};
    return core->score(&input, &output, error);
  };
  work->result = [out, logits](Napi::Env e) -> Napi::Value {
    static constexpr std::array<const char*, 9> kNames{"ctw", "atd", "msp",     "maxLogit", "energy",
                                                       "mcm", "gap", "logPOut", "logQMax"};
    Napi::Object object = Napi::Object::New(e);
    for (size_t i = 0; i < kNames.size(); ++i) object.Set(kNames[i], floats(e, out->scores[i]));
    auto index = Napi::Int32Array::New(e, out->top_index.size());
    if (!out->top_index.empty()) {
      std::memcpy(index.Data(), out->top_index.data(), out->top_index.size() * sizeof(int32_t));
    }
    object.Set("topIndex", index);
    object.Set("topP", floats(e, out->top_p));
    object.Set("topPYes", floats(e, out->top_p_yes));
    if (logits) {
      object.Set("logitsYes", floats(e, out->logits_yes));
      object.Set("logitsNo", floats(e, out->logits_no));
    }
    return object;
  };
  return submit(env, std::move(work));
}

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
