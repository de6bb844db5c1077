// score: features and a label bank to every score (core.h, clipn_score).
#include <array>
#include <cstring>
#include <string>

#include "arguments.h"
#include "errors.h"
#include "lane.h"

// score({features, yes, no | undefined, n, c, d, k, scale, logits: boolean, device, bankId: number}) → one array per
// field of clipn_score_output
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
                                k,
                                device_of(in.Get("device").As<Napi::String>()),
                                static_cast<uint64_t>(integer(in.Get("bankId")))};
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
