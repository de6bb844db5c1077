// openTeacher, closeTeacher, teach, readTeacher: training the no tower (core.h, clipn_teacher).
#include <string>

#include "arguments.h"
#include "errors.h"
#include "handle.h"
#include "lane.h"
#include "tensor_table.h"

namespace {

constexpr HandleKind<clipn_teacher> kTeacher = {"teacher", {0x5d1c63f7b1a24e0dULL, 0x8e0b7a94c2d85f31ULL}};

using SharedTeacher = std::shared_ptr<clipn_teacher>;

SharedTeacher& teacher_of(const Napi::Value& value) { return held_by(value, kTeacher); }

double real(const Napi::Object& object, const char* key) { return object.Get(key).As<Napi::Number>().DoubleValue(); }

template <typename Array, typename T>
const T* checked(const Napi::Object& in, const char* key, int64_t count, Job& work) {
  const auto array = in.Get(key).As<Array>();
  if (array.ElementLength() != static_cast<size_t>(count)) {
    throw coded_error(in.Env(), "ERR_CLIPN_INVALID_ARG", std::string(key) + " does not have the size its shape says");
  }
  work.keep.push_back(Napi::Persistent(array.template As<Napi::Object>()));
  return array.Data();
}

}  // namespace

// openTeacher({checkpoint, tensors, architecture, precision, device, prompts, microBatch, stepsTaken, scale, beta1,
// beta2, epsilon, weightDecay}) → handle
Napi::Value Lane::open_teacher(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const auto in = info[0].As<Napi::Object>();
  struct Input {
    std::string checkpoint, device;
    TensorTable tensors;
    clipn_architecture architecture;
    clipn_teacher_options options;
  };
  const auto input = std::make_shared<Input>(Input{text(in, "checkpoint"),
                                                   text(in, "device"),
                                                   TensorTable(in.Get("tensors").As<Napi::Array>()),
                                                   architecture_of(in.Get("architecture").As<Napi::Object>()),
                                                   {}});
  clipn_teacher_options& options = input->options;
  options.size = sizeof(options);
  options.precision = precision_of(text(in, "precision"));
  options.prompts = number(in, "prompts");
  options.micro_batch = number(in, "microBatch");
  options.steps_taken = static_cast<uint64_t>(integer(in.Get("stepsTaken")));
  options.scale = real(in, "scale");
  options.beta1 = real(in, "beta1");
  options.beta2 = real(in, "beta2");
  options.epsilon = real(in, "epsilon");
  options.weight_decay = real(in, "weightDecay");
  auto teacher = std::make_shared<SharedTeacher>();
  work->run = [core = &core_, input, teacher](clipn_error* error) {
    const std::vector<clipn_tensor> table = input->tensors.view();
    clipn_teacher_options options = input->options;
    options.checkpoint = input->checkpoint.c_str();
    options.tensors = table.data();
    options.tensor_count = table.size();
    options.architecture = &input->architecture;
    options.device = input->device.c_str();
    clipn_teacher* opened = nullptr;
    const clipn_status status = core->teacher_open(&options, &opened, error);
    if (status == CLIPN_OK) teacher->reset(opened, core->teacher_close);
    return status;
  };
  work->result = [teacher](Napi::Env e) -> Napi::Value { return make_handle(e, kTeacher, *teacher); };
  return submit(env, std::move(work));
}

Napi::Value close_teacher(const Napi::CallbackInfo& info) {
  teacher_of(info[0]).reset();
  return info.Env().Undefined();
}

// teach(teacher, {n, l, d, image, yes, ids, maps, groups | undefined, learningRate})
//   → {finite, yes, no, text, total}
Napi::Value Lane::teach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const SharedTeacher teacher = teacher_of(info[0]);
  const auto in = info[1].As<Napi::Object>();
  const int64_t n = integer(in.Get("n")), l = integer(in.Get("l")), d = integer(in.Get("d"));
  clipn_teacher_batch batch{};
  batch.size = sizeof(batch);
  batch.n = n;
  batch.l = l;
  batch.image = checked<Napi::Float32Array, float>(in, "image", n * d, *work);
  batch.yes = checked<Napi::Float32Array, float>(in, "yes", n * d, *work);
  batch.ids = checked<Napi::BigInt64Array, int64_t>(in, "ids", n * l, *work);
  batch.maps = checked<Napi::BigInt64Array, int64_t>(in, "maps", n, *work);
  batch.groups =
      in.Get("groups").IsUndefined() ? nullptr : checked<Napi::BigInt64Array, int64_t>(in, "groups", n, *work);
  batch.learning_rate = real(in, "learningRate");
  auto losses = std::make_shared<clipn_teacher_losses>();
  losses->size = sizeof(clipn_teacher_losses);
  work->run = [core = &core_, teacher, batch, losses](clipn_error* error) {
    return core->teacher_step(teacher.get(), &batch, losses.get(), error);
  };
  work->result = [losses](Napi::Env e) -> Napi::Value {
    Napi::Object out = Napi::Object::New(e);
    out.Set("finite", losses->finite != 0);
    out.Set("yes", losses->yes);
    out.Set("no", losses->no);
    out.Set("text", losses->text);
    out.Set("total", losses->total);
    return out;
  };
  return submit(env, std::move(work));
}

// readTeacher(teacher, part: 0 | 1 | 2, name, count) → Float32Array [count]
Napi::Value Lane::read_teacher(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const SharedTeacher teacher = teacher_of(info[0]);
  auto values = std::make_shared<std::vector<float>>();
  work->run = [core = &core_, teacher, part = static_cast<clipn_teacher_part>(integer(info[1])),
               name = info[2].As<Napi::String>().Utf8Value(), count = static_cast<uint64_t>(integer(info[3])),
               values](clipn_error* error) {
    values->resize(count);
    return core->teacher_read(teacher.get(), part, name.c_str(), values->data(), count, error);
  };
  work->result = [values](Napi::Env e) -> Napi::Value { return floats(e, *values); };
  return submit(env, std::move(work));
}
