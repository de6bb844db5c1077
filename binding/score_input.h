// Reading a clipn_score_input.
#pragma once

#include <clipn/core.h>

#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "lane.h"

struct ScoreInput {
  std::vector<int64_t> group_ends;
  clipn_score_input input;
};

// Of {features, yes, no | undefined, n, c, d, k, scale, device, bankId: number, words | undefined, groupEnds: number[]
// | undefined}. The job keeps the arrays.
inline std::shared_ptr<ScoreInput> score_input(Napi::Env env, const Napi::Object& in, Job& work) {
  auto out = std::make_shared<ScoreInput>();
  const int64_t n = integer(in.Get("n")), c = integer(in.Get("c")), d = integer(in.Get("d")), k = integer(in.Get("k"));
  const auto rows = [&](const char* key, int64_t count) -> const float* {
    const Napi::Value value = in.Get(key);
    if (value.IsUndefined()) return nullptr;
    const auto array = value.As<Napi::Float32Array>();
    if (array.ElementLength() != static_cast<size_t>(count * d)) {
      throw coded_error(env, "ERR_CLIPN_INVALID_ARG", std::string(key) + " does not have the size its shape says");
    }
    work.keep.push_back(Napi::Persistent(array.As<Napi::Object>()));
    return array.Data();
  };
  if (!in.Get("groupEnds").IsUndefined()) {
    const auto ends = in.Get("groupEnds").As<Napi::Array>();
    for (uint32_t i = 0; i < ends.Length(); ++i) out->group_ends.push_back(integer(ends.Get(i)));
  }
  const int64_t w = out->group_ends.empty() ? 0 : out->group_ends.back();
  out->input = {sizeof(clipn_score_input),
                in.Get("scale").As<Napi::Number>().FloatValue(),
                rows("features", n),
                rows("yes", c),
                rows("no", c),
                n,
                c,
                d,
                k,
                device_of(in.Get("device").As<Napi::String>()),
                static_cast<uint64_t>(integer(in.Get("bankId"))),
                rows("words", w),
                w,
                out->group_ends.data(),
                static_cast<int64_t>(out->group_ends.size())};
  return out;
}
