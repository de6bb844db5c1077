// openModel, closeModel, encodeImages, encodeText, runImageLinears. Each call reads its arguments on the JS thread,
// captures plain data, and leaves the rest to the core. lib/native/addon.ts has the types.
#include <cstring>
#include <string>

#include "arguments.h"
#include "errors.h"
#include "handle.h"
#include "lane.h"

namespace {

constexpr HandleKind<clipn_model> kModel = {"model", {0x0c11b2a6d0f94e7aULL, 0x9c1f3de4b58a7066ULL}};

using SharedModel = std::shared_ptr<clipn_model>;

SharedModel& model_of(const Napi::Value& value) { return held_by(value, kModel); }

}  // namespace

// openModel(path, precision: 'fp32' | 'bf16' | 'fp16' | 'int8', device: 'cpu' | 'cuda', imageOnly) → {handle, methods,
// clipnJson, tokenizerJson, rewritten}
Napi::Value Lane::open_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  auto model = std::make_shared<SharedModel>();
  auto about = std::make_shared<clipn_model_info>();
  work->run = [core = &core_, path = info[0].As<Napi::String>().Utf8Value(),
               precision = precision_of(info[1].As<Napi::String>()), device = device_of(info[2].As<Napi::String>()),
               image_only = info[3].ToBoolean() ? 1U : 0U, model, about](clipn_error* error) {
    const clipn_model_options options{sizeof(clipn_model_options), precision, device, image_only};
    clipn_model* opened = nullptr;
    const clipn_status status = core->model_open(path.c_str(), &options, &opened, error);
    if (status != CLIPN_OK) return status;
    model->reset(opened, core->model_close);
    about->size = sizeof(clipn_model_info);
    return core->model_describe(opened, about.get(), error);
  };
  work->result = [model, about](Napi::Env e) -> Napi::Value {
    Napi::Object out = Napi::Object::New(e);
    out.Set("handle", make_handle(e, kModel, *model));
    out.Set("methods", about->methods);
    out.Set("clipnJson", about->clipn_json);
    out.Set("tokenizerJson", about->tokenizer_json);
    out.Set("rewritten", about->rewritten != 0);
    return out;
  };
  return submit(env, std::move(work));
}

Napi::Value close_model(const Napi::CallbackInfo& info) {
  model_of(info[0]).reset();
  return info.Env().Undefined();
}

// encodeImages(model, images: {data, width, height, channels}[], {side, mean, std, dim, pixels, patches: P or 0,
//   contributions: P or 0}), of the last two one at most
//   → {features: Float32Array [n*d], pixels: Uint8Array [n*s*s*3] | undefined, patches and contributions: Float32Array
//   [n*P*d] | undefined}
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
  const uint32_t side = number(options, "side"), dim = number(options, "dim"),
                 patches = options.Has("patches") ? number(options, "patches") : 0,
                 contributions = options.Has("contributions") ? number(options, "contributions") : 0;
  const bool want_pixels = options.Get("pixels").ToBoolean();

  auto features = std::make_shared<std::vector<float>>();
  auto local = std::make_shared<std::vector<float>>();
  auto pixels = std::make_shared<std::vector<uint8_t>>();
  work->run = [core = &core_, model, images = std::move(images), side, dim, patches, contributions,
               mean = three(options.Get("mean")), std = three(options.Get("std")), want_pixels, features, local,
               pixels](clipn_error* error) {
    const size_t n = images.size(), each = static_cast<size_t>(side) * side * 3;
    features->resize(n * dim);
    clipn_image_batch batch{
        sizeof(clipn_image_batch), side,         nullptr, static_cast<int64_t>(n), {mean[0], mean[1], mean[2]},
        {std[0], std[1], std[2]},  images.data()};
    if (want_pixels) {
      pixels->resize(n * each);
      for (size_t i = 0; i < n; ++i) {
        const clipn_status status = core->preprocess(&images[i], side, pixels->data() + i * each, error);
        if (status != CLIPN_OK) return status;
      }
      batch.pixels = pixels->data();
      batch.images = nullptr;
    }
    if (patches + contributions == 0) return core->encode_images(model.get(), &batch, dim, features->data(), error);
    local->resize(n * (patches + contributions) * dim);
    const auto encode = patches > 0 ? core->encode_image_patches : core->encode_image_contributions;
    return encode(model.get(), &batch, dim, patches + contributions, features->data(), local->data(), error);
  };
  work->result = [features, local, pixels, patches, want_pixels](Napi::Env e) -> Napi::Value {
    Napi::Object out = Napi::Object::New(e);
    out.Set("features", floats(e, *features));
    if (!local->empty()) out.Set(patches > 0 ? "patches" : "contributions", floats(e, *local));
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

// runImageLinears(model, n) → undefined
Napi::Value Lane::run_image_linears(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  work->run = [core = &core_, model = model_of(info[0]), n = integer(info[1])](clipn_error* error) {
    return core->run_image_linears(model.get(), n, error);
  };
  work->result = [](Napi::Env e) -> Napi::Value { return e.Undefined(); };
  return submit(env, std::move(work));
}
