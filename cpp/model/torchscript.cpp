#include "model/torchscript.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "extent.h"
#include "model/module_author.h"
#include "model/module_file.h"
#include "model/run_method.h"
#include "score/score.h"
#include "tower/recognise.h"

namespace clipn {
namespace {

using torch::jit::Module;

// The program: the parts that a bank asks for, one after the other, then the names that they give (spec 3). Exponents
// are relative to the largest logit of the labels, m, as in score/score.inl; those of negative words are double, since
// a word may be nearer than every label by any amount. A number of an image is a column [N, 1].

constexpr const char* kFromPixels = R"(
def encode(self, pixels):
    x = pixels.permute([0, 3, 1, 2]).contiguous().float() / 255.
    return self.clip.encode_image((x - self.mean) / self.std).float()
)";

constexpr const char* kFromNormalised = R"(
def encode(self, pixels):
    return self.clip.encode_image(pixels).float()
)";

constexpr const char* kLabels = R"(
def forward(self, pixels):
    features = self.encode(pixels)
    s = self.scale
    x = torch.matmul(features, self.yes.t())
    label = x.argmax(1, True)
    m = x.gather(1, label)
    a = s * (x - m)
    p = torch.softmax(a, 1)
    msp = p.amax([1], True)
    maxLogit = s * m
    energy = maxLogit + torch.logsumexp(a, [1], True)
    mcm = torch.softmax(x, 1).amax([1], True)
)";

constexpr const char* kNo = R"(
    gaps = s * (x - torch.matmul(features, self.no.t()))
    pYes = torch.sigmoid(gaps)
    ctw = pYes.gather(1, label)
    gap = gaps.gather(1, label)
    q = a + torch.log_sigmoid(gaps)
    inside = torch.logsumexp(q, [1], True)
    none = torch.logsumexp(a + torch.log_sigmoid(-gaps), [1], True)
    atd = torch.sigmoid(inside - none)
    logPOut = torch.log_sigmoid(none - inside)
    logQMax = q.amax([1], True) - torch.logsumexp(a, [1], True)
)";

constexpr const char* kWords = R"(
    u = torch.matmul(features, self.words.t())
    word = u.argmax(1, True)
    nearest = u.gather(1, word)
    wordMax = s * nearest
    labels = torch.exp(a.double()).sum([1], True)
    shares = torch.exp((s * (u - m)).double())
    words = shares.new_zeros([shares.size(0), self.groups]).index_add(1, self.group, shares)
    negLabel = (labels / (labels + words)).mean([1], True).float()
)";

constexpr const char* kNoAndWords = R"(
    ole = (torch.exp(q.double()).sum([1], True) / (labels + words.sum([1], True))).float()
)";

std::string program_of(const clipn_torchscript_options& options) {
  const clipn_score_input& bank = *options.bank;
  const bool no = bank.bank_no != nullptr, words = bank.w > 0;
  std::string program = std::string(options.normalised != 0 ? kFromNormalised : kFromPixels) + kLabels;
  if (no) program += kNo;
  if (words) program += kWords;
  if (no && words) program += kNoAndWords;
  program += "    return features, label, p, msp, maxLogit, energy, mcm";
  if (no) program += ", pYes, ctw, atd, gap, logPOut, logQMax";
  if (words) program += ", word, negLabel, wordMax";
  if (no && words) program += ", ole";
  return program + "\n";
}

// The image tower alone where it can be told from the rest.
Module image_tower(Module model) {
  const std::optional<Recognised> known = recognise(model);
  if (!known) {
    model.eval();
    model.to(at::kFloat);
    return model;
  }
  std::map<std::string, at::Tensor> weights;
  for (const auto& each : model.named_parameters()) weights.emplace(each.name, each.value);
  return author_module(
      known->architecture, {.text = false, .text_no = false},
      [&](const std::string& name, const std::vector<int64_t>&) { return weights.at(name).detach().to(at::kFloat); });
}

at::Tensor rows(const float* from, int64_t count, int64_t width) {
  return at::from_blob(const_cast<float*>(from), {count, width}, at::kFloat).clone();
}

at::Tensor by_channel(const float (&values)[3]) {
  return at::tensor({values[0], values[1], values[2]}, at::kFloat).view({1, 3, 1, 1});
}

// [w] the group of each word.
at::Tensor groups_of(const clipn_score_input& bank) {
  std::vector<int64_t> group(bank.w);
  for (int64_t g = 0, word = 0; g < bank.groups; ++g) {
    for (; word < bank.group_ends[g]; ++word) group[word] = g;
  }
  return at::tensor(group, at::kLong);
}

Module author(const clipn_torchscript_options& options, Module model) {
  const clipn_score_input& bank = *options.bank;
  Module root(c10::QualifiedName("__torch__.clipn.Forward"), std::make_shared<torch::jit::CompilationUnit>());
  root.register_attribute("training", c10::BoolType::get(), false);
  root.register_attribute("scale", c10::FloatType::get(), static_cast<double>(bank.scale));
  root.register_module("clip", image_tower(std::move(model)));
  root.register_buffer("yes", rows(bank.bank_yes, bank.c, bank.d));
  if (bank.bank_no != nullptr) root.register_buffer("no", rows(bank.bank_no, bank.c, bank.d));
  if (bank.w > 0) {
    root.register_buffer("words", rows(bank.words, bank.w, bank.d));
    root.register_buffer("group", groups_of(bank));
    root.register_attribute("groups", c10::IntType::get(), bank.groups);
  }
  if (options.normalised == 0) {
    root.register_buffer("mean", by_channel(options.mean));
    root.register_buffer("std", by_channel(options.std));
  }
  root.define(program_of(options));
  return root;
}

void check(const clipn_torchscript_options& options) {
  check_bank(*options.bank);
  if (options.side < 1 || !fits_memory({options.side, options.side, 3}, sizeof(float))) {
    throw Error(CLIPN_INVALID_ARG, "an image of side " + std::to_string(options.side) + " is none, or too large");
  }
}

// One black image: what cannot run is not written.
void try_out(const Module& module, const clipn_torchscript_options& options) {
  const int64_t side = options.side;
  const at::Tensor image =
      options.normalised != 0 ? at::zeros({1, 3, side, side}, at::kFloat) : at::zeros({1, side, side, 3}, at::kByte);
  // NNPACK says on stderr that it does not know a CPU; nothing here gets faster by it.
  at::globalContext().setUserEnabledNNPACK(false);
  const c10::IValue answer = run_method(module, "forward", image);
  const at::Tensor features = answer.toTupleRef().elements()[0].toTensor();
  if (features.dim() == 2 && features.size(0) == 1 && features.size(1) == options.bank->d) return;
  throw Error(CLIPN_MODEL_CONTRACT, "encode_image returned shape " + c10::str(features.sizes()) + ", expected [1, " +
                                        std::to_string(options.bank->d) + "]");
}

}  // namespace

void export_torchscript(const clipn_torchscript_options& options) {
  const at::NoGradGuard no_grad;
  check(options);
  torch::jit::ExtraFilesMap none;
  Module model = load_module(options.model, none);
  if (!model.find_method("encode_image")) {
    throw Error(CLIPN_MODEL_CONTRACT, std::string(options.model) + " has no method encode_image");
  }
  const Module module = author(options, std::move(model));
  try_out(module, options);
  torch::jit::ExtraFilesMap extra;
  if (options.json != nullptr && *options.json != '\0') extra.emplace("forward.json", options.json);
  save_module(module, options.target, extra);
}

}  // namespace clipn
