// score: features and a label bank to every score (core.h, clipn_score).
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "arguments.h"
#include "lane.h"
#include "score_input.h"

namespace {

Napi::Int32Array indices(Napi::Env env, const std::vector<int32_t>& values) {
  auto array = Napi::Int32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(int32_t));
  return array;
}

}  // namespace

// score({features, yes, no | undefined, n, c, d, k, scale, logits: boolean, device, bankId: number, words | undefined,
// groupEnds: number[] | undefined}) → one array per field of clipn_score_output
Napi::Value Lane::score(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto work = job(env);
  const auto in = info[0].As<Napi::Object>();
  const std::shared_ptr<ScoreInput> given = score_input(env, in, *work);
  const bool logits = in.Get("logits").ToBoolean();

  // The twelve per-image scores, then the top lists, logits and the nearest word.
  struct Output {
    std::array<std::vector<float>, 12> scores;
    std::vector<int32_t> top_index, word_index;
    std::vector<float> top_p, top_p_yes, logits_yes, logits_no;
  };
  auto out = std::make_shared<Output>();
  work->run = [core = &core_, given, logits, out](clipn_error* error) {
    const clipn_score_input& input = given->input;
    const auto n = static_cast<size_t>(input.n), nk = n * static_cast<size_t>(input.k),
               nc = n * static_cast<size_t>(input.c);
    for (auto& score : out->scores) score.resize(n);
    out->top_index.resize(nk);
    out->word_index.resize(n);
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
                                    out->logits_no.empty() ? nullptr : out->logits_no.data(),
                                    s[9].data(),
                                    s[10].data(),
                                    s[11].data(),
                                    out->word_index.data()};
    return core->score(&input, &output, error);
  };
  work->result = [out, logits](Napi::Env e) -> Napi::Value {
    static constexpr std::array<const char*, 12> kNames{"ctw", "atd",     "msp",     "maxLogit", "energy", "mcm",
                                                        "gap", "logPOut", "logQMax", "negLabel", "ole",    "wordMax"};
    Napi::Object object = Napi::Object::New(e);
    for (size_t i = 0; i < kNames.size(); ++i) object.Set(kNames[i], floats(e, out->scores[i]));
    object.Set("topIndex", indices(e, out->top_index));
    object.Set("wordIndex", indices(e, out->word_index));
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
