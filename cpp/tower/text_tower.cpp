#include "tower/text_tower.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>
#include <utility>

#include "error.h"

namespace clipn {

template <typename T>
TextTower<T>::TextTower(TextStem<T> stem, Transformer<T> transformer)
    : stem_(std::move(stem)), transformer_(std::move(transformer)) {}

template <typename T>
at::Tensor TextTower<T>::encode(const int64_t* ids, int64_t n, int64_t l) {
  const int64_t vocabulary = stem_.token_embedding.size(0), width = transformer_.width();
  if (l > stem_.positional_embedding.size(0)) {
    throw Error(CLIPN_MODEL_CONTRACT, "prompts of " + std::to_string(l) + " tokens, the tower takes at most " +
                                          std::to_string(stem_.positional_embedding.size(0)));
  }
  Sequences prompts;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t length = std::max_element(ids + i * l, ids + (i + 1) * l) - (ids + i * l) + 1;
    prompts.starts.push_back(prompts.rows() + length);
    prompts.readout.push_back(prompts.rows() - 1);
  }
  float* x = x_.reserve(prompts.rows() * width);
  const float* tokens = stem_.token_embedding.template const_data_ptr<float>();
  const float* positions = stem_.positional_embedding.template const_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t row = prompts.starts[i]; row < prompts.starts[i + 1]; ++row) {
      const int64_t position = row - prompts.starts[i], id = ids[i * l + position];
      if (id < 0 || id >= vocabulary) {
        throw Error(CLIPN_MODEL_CONTRACT,
                    "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocabulary));
      }
      const float* token = tokens + id * width;
      const float* at = positions + position * width;
      for (int64_t j = 0; j < width; ++j) x[row * width + j] = token[j] + at[j];
    }
  }
  const float* rows = transformer_.run_to_readout(x, prompts);
  at::Tensor out = at::empty({n, stem_.projection.out()}, at::TensorOptions(at::kFloat));
  transformer_.project(stem_.ln_final, stem_.projection, rows, n, out.mutable_data_ptr<float>());
  return out;
}

template class TextTower<float>;

}  // namespace clipn
