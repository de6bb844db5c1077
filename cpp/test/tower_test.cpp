// The rewritten towers against the module they were made of, run by libtorch's interpreter.
#include <ATen/Context.h>
#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cmath>
#include <cstring>
#include <sstream>
#include <vector>

#include "error.h"
#include "model/module_author.h"
#include "model/normalise.h"
#include "tower/gemm.h"
#include "tower/int8_linear.h"
#include "tower/module_parts.h"
#include "tower/pack.h"
#include "tower/sample.h"

namespace clipn {
namespace {

// Odd enough to leave nothing to chance: no number of tokens, patches or outputs is a multiple of a block.
constexpr clipn_architecture kSmall = {sizeof(clipn_architecture), 70, 40, 8, 128, 4, 3, 20, 50, 64, 2, 2, 0, 512, 256};

torch::jit::Module author(const clipn_architecture& architecture, double scale = 0.2) {
  at::manual_seed(1);
  const WeightSource random = [scale](const std::string& name, const std::vector<int64_t>& shape) {
    const bool is_norm_weight = name.find("ln_") != std::string::npos && name.ends_with("weight");
    return is_norm_weight ? at::rand(shape) + 0.5 : at::randn(shape) * scale;
  };
  return author_module(architecture, {.text = true, .text_no = true}, random);
}

// As a model file gives it.
torch::jit::Module reloaded(const torch::jit::Module& module) {
  std::stringstream file;
  module.save(file);
  return torch::jit::load(file);
}

struct Images {
  explicit Images(int64_t n, uint32_t side = kSmall.image_size) : pixels(n * side * side * 3) {
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
    batch = {sizeof(batch), side, pixels.data(), n, {0.48F, 0.46F, 0.41F}, {0.27F, 0.26F, 0.28F}, nullptr};
  }
  at::Tensor tensor() const {
    const auto table = normalisation_table(batch);
    const auto bytes =
        at::from_blob(const_cast<uint8_t*>(pixels.data()), {batch.n, batch.side, batch.side, 3}, at::kByte);
    std::vector<at::Tensor> channels;
    for (size_t c = 0; c < 3; ++c) {
      channels.push_back(
          at::tensor(at::ArrayRef<float>(table[c])).index({bytes.select(3, static_cast<int64_t>(c)).to(at::kLong)}));
    }
    return at::stack(channels, 1);
  }
  std::vector<uint8_t> pixels;
  clipn_image_batch batch;
};

// Prompts of different lengths, the largest id last, zeros after it.
at::Tensor prompts(int64_t n, int64_t length) {
  at::Tensor ids = at::zeros({n, length}, at::kLong);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t last = 1 + (i * 5 + 3) % (length - 1);
    for (int64_t j = 0; j < last; ++j) ids[i][j] = (i * 7 + j * 3) % 48;
    ids[i][last] = 49;
  }
  return ids;
}

at::Tensor run(const torch::jit::Module& module, const char* method, const at::Tensor& input) {
  return module.get_method(method)({input}).toTensor();
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

double smallest_cosine(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(-1).min().item<double>(); }

// What the attention of the last block gives the class token, patch by patch, from the module's own weights: each value
// times its weight, through out_proj, ln_post with the class token's deviation and proj, over the feature's length.
at::Tensor contributions_of(const torch::jit::Module& module, const clipn_architecture& a, const at::Tensor& pixels) {
  const torch::jit::Module visual = child(module, "visual");
  const auto heads = static_cast<int64_t>(a.vision_heads);
  at::Tensor x = at::conv2d(pixels, weight(child(visual, "conv1"), "weight"), {}, a.patch_size);
  x = x.flatten(2).transpose(1, 2);
  const int64_t n = x.size(0), width = x.size(2);
  x = at::cat({weight(visual, "class_embedding").expand({n, 1, width}), x}, 1);
  x = child(visual, "ln_pre").forward({x + weight(visual, "positional_embedding")}).toTensor();
  const torch::jit::Module blocks = child(child(visual, "transformer"), "resblocks");
  const auto block = [&](uint32_t i) { return child(blocks, std::to_string(i)); };
  for (uint32_t i = 0; i + 1 < a.vision_layers; ++i) x = block(i).forward({x, heads, false}).toTensor();
  torch::jit::Module last = block(a.vision_layers - 1);
  const torch::jit::Module attention = child(last, "attn");
  const at::Tensor token = last.forward({x, heads, false}).toTensor().select(1, 0);
  const at::Tensor feature = visual.get_method("project")({token}).toTensor();

  const at::Tensor normed = child(last, "ln_1").forward({x}).toTensor();
  const auto qkv = at::linear(normed, weight(attention, "in_proj_weight"), weight(attention, "in_proj_bias"))
                       .view({n, -1, 3, heads, width / heads})
                       .permute({2, 0, 3, 1, 4});  // [3, n, heads, tokens, head]
  const at::Tensor logits = at::matmul(qkv[0].slice(2, 0, 1), qkv[1].transpose(2, 3));
  const at::Tensor weights = at::softmax(logits / std::sqrt(static_cast<double>(width / heads)), -1);
  const at::Tensor summands = (weights.transpose(2, 3) * qkv[2]).transpose(1, 2).reshape({n, -1, width});
  const at::Tensor given = at::matmul(summands, weight(child(attention, "out_proj"), "weight").t());
  const at::Tensor deviation = (token.var(1, /*unbiased=*/false) + 1e-5).sqrt().view({n, 1, 1});
  const at::Tensor scaled =
      (given - given.mean(2, /*keepdim=*/true)) / deviation * weight(child(visual, "ln_post"), "weight");
  return at::matmul(scaled, weight(visual, "proj")).slice(1, 1) / feature.norm(2, {1}, true).unsqueeze(1);
}

struct RewrittenTower : testing::Test {
  c10::InferenceMode no_grad;
  torch::jit::Module module = reloaded(author(kSmall));

  std::unique_ptr<PackedTowers> rewritten(clipn_precision precision) const {
    torch::jit::Module copy = module.deepcopy();
    return pack_towers(copy, precision);
  }
};

TEST_F(RewrittenTower, GivesTheModulesImageFeatures) {
  const auto towers = rewritten(CLIPN_FP32);
  ASSERT_NE(towers, nullptr);
  for (const int64_t n : {1, 3, 11}) {
    const Images images(n);
    EXPECT_LT(largest_difference(towers->encode_images(images.batch), run(module, "encode_image", images.tensor())),
              2e-6)
        << n << " images";
  }
}

TEST_F(RewrittenTower, GivesTheModulesPatchFeatures) {
  const Images images(3);
  const auto expected = module.get_method("encode_image_patches")({images.tensor()}).toTuple();
  const auto [image, patches] = rewritten(CLIPN_FP32)->encode_image_patches(images.batch);
  EXPECT_LT(largest_difference(image, expected->elements()[0].toTensor()), 2e-6);
  EXPECT_LT(largest_difference(patches, expected->elements()[1].toTensor()), 2e-6);
}

TEST_F(RewrittenTower, GivesWhatEachPatchContributesAndTheSameBitsOfTheFeature) {
  const Images images(3);
  const at::Tensor expected = contributions_of(module, kSmall, images.tensor());
  for (const auto& [precision, tolerance] :
       {std::pair{CLIPN_FP32, 2e-6}, std::pair{CLIPN_BF16, 0.01}, std::pair{CLIPN_INT8, 0.02}}) {
    if (precision == CLIPN_INT8 && !int8_absence().empty()) continue;
    const auto towers = rewritten(precision);
    const at::Tensor alone = towers->encode_images(images.batch);
    const auto [features, contributions] = towers->encode_image_contributions(images.batch);
    EXPECT_TRUE(at::equal(features, alone));
    EXPECT_LT(largest_difference(contributions, expected), tolerance) << expected.abs().max().item<double>();
  }
}

TEST_F(RewrittenTower, GivesTheModulesTextFeaturesOfPromptsOfEveryLength) {
  const auto towers = rewritten(CLIPN_FP32);
  for (const int64_t length : {2, 7, 20}) {
    const at::Tensor ids = prompts(13, length);
    const int64_t* data = ids.const_data_ptr<int64_t>();
    EXPECT_LT(
        largest_difference(towers->encode_text(CLIPN_TEXT_YES, data, 13, length), run(module, "encode_text_yes", ids)),
        2e-6);
    EXPECT_LT(
        largest_difference(towers->encode_text(CLIPN_TEXT_NO, data, 13, length), run(module, "encode_text_no", ids)),
        2e-6);
  }
}

TEST_F(RewrittenTower, KeepsTheDirectionOfFeaturesInBf16) {
  const Images images(5);
  EXPECT_GT(
      smallest_cosine(rewritten(CLIPN_BF16)->encode_images(images.batch), run(module, "encode_image", images.tensor())),
      0.9995);
}

TEST_F(RewrittenTower, KeepsTheDirectionOfFeaturesInInt8) {
  if (!int8_absence().empty()) GTEST_SKIP() << int8_absence();
  const Images images(5);
  const at::Tensor exact = run(module, "encode_image", images.tensor());
  EXPECT_GT(smallest_cosine(rewritten(CLIPN_INT8)->encode_images(images.batch), exact), 0.998);
}

// A few inputs thirty times as large as the others, whose weights are as much smaller: the same function.
TEST_F(RewrittenTower, KeepsTheDirectionInInt8WhenAFewInputsAreMuchLargerThanTheOthers) {
  if (!int8_absence().empty()) GTEST_SKIP() << int8_absence();
  const Images images(5);
  const at::Tensor exact = run(module, "encode_image", images.tensor());
  const torch::jit::Module blocks = child(child(child(module, "visual"), "transformer"), "resblocks");
  for (uint32_t i = 0; i < kSmall.vision_layers; ++i) {
    const torch::jit::Module block = child(blocks, std::to_string(i));
    at::Tensor factor = at::ones({kSmall.vision_width});
    factor[3] = factor[77] = 30;
    for (const char* name : {"ln_1", "ln_2"}) {
      weight(child(block, name), "weight").mul_(factor);
      weight(child(block, name), "bias").mul_(factor);
    }
    weight(child(block, "attn"), "in_proj_weight").div_(factor);
    weight(child(child(block, "mlp"), "c_fc"), "weight").div_(factor);
  }
  ASSERT_GT(smallest_cosine(run(module, "encode_image", images.tensor()), exact), 0.999999);
  EXPECT_GT(smallest_cosine(rewritten(CLIPN_INT8)->encode_images(images.batch), exact), 0.998);
}

TEST_F(RewrittenTower, IsNotMadeInInt8OfWeightsThatAreNotFinite) {
  if (!int8_absence().empty()) GTEST_SKIP() << int8_absence();
  const torch::jit::Module blocks = child(child(child(module, "visual"), "transformer"), "resblocks");
  weight(child(child(child(blocks, "1"), "mlp"), "c_proj"), "weight")[7][9] = std::nan("");
  EXPECT_THROW(rewritten(CLIPN_INT8), Error);
}

// A block of a module, as packing starts from.
Block<Dense> dense_block(const torch::jit::Module& block) {
  const auto norm = [&](const char* name) {
    return Norm(weight(child(block, name), "weight"), weight(child(block, name), "bias"));
  };
  const auto dense = [](const torch::jit::Module& linear) {
    return Dense{.weight = weight(linear, "weight"), .bias = weight(linear, "bias")};
  };
  const torch::jit::Module attn = child(block, "attn"), mlp = child(block, "mlp");
  return {.ln_1 = norm("ln_1"),
          .qkv = {.weight = weight(attn, "in_proj_weight"), .bias = weight(attn, "in_proj_bias")},
          .out = dense(child(attn, "out_proj")),
          .ln_2 = norm("ln_2"),
          .fc = dense(child(mlp, "c_fc")),
          .proj = dense(child(mlp, "c_proj"))};
}

TEST_F(RewrittenTower, ASampleGoesThroughBlocksAsTheModuleDoes) {
  const torch::jit::Module blocks = child(child(child(module, "visual"), "transformer"), "resblocks");
  const auto heads = static_cast<int64_t>(kSmall.vision_heads);
  const at::Tensor tokens = at::randn({2, 7, kSmall.vision_width});
  Sample sample(tokens, heads, cpu::Activation::kGelu, at::kFloat);
  sample.through(dense_block(child(blocks, "0")));
  const BlockInputs inputs = sample.through(dense_block(child(blocks, "1")));

  const at::Tensor after = child(blocks, "0").forward({tokens, heads, false}).toTensor();
  torch::jit::Module second = child(blocks, "1");
  const at::Tensor between =
      after +
      child(second, "attn").forward({child(second, "ln_1").forward({after}).toTensor(), heads, false}).toTensor();
  const auto expect_rows = [](const at::Tensor& rows, const at::Tensor& expected) {
    EXPECT_LT(largest_difference(rows, expected.flatten(0, 1)), 1e-4);
  };
  expect_rows(inputs.qkv, child(second, "ln_1").forward({after}).toTensor());
  expect_rows(inputs.fc, child(second, "ln_2").forward({between}).toTensor());
  expect_rows(run(child(child(second, "attn"), "out_proj"), "forward", inputs.out), between - after);
  expect_rows(run(child(child(second, "mlp"), "c_proj"), "forward", inputs.proj),
              second.forward({after, heads, false}).toTensor() - between);
}

TEST(NoisePictures, AreTheSameEachTimeAndOfPhotosStrength) {
  const at::Tensor pictures = noise_pictures(2, 48);
  EXPECT_TRUE(at::equal(pictures, noise_pictures(2, 48)));
  EXPECT_FALSE(at::equal(pictures[0], pictures[1]));
  EXPECT_NEAR(pictures.std().item<double>(), 1, 1e-3);
}

// The mean square error of what a linear gives for some rows.
double error_of(const Int8Linear<float>& linear, const at::Tensor& rows, const at::Tensor& exact) {
  Int8Linear<float>::Rows given;
  given.reserve(rows.size(0), rows.size(1));
  given.set(rows.const_data_ptr<float>(), rows.size(0), rows.size(1), {});
  at::Tensor out = at::empty({rows.size(0), linear.out()});
  for (int64_t panel = 0; panel < linear.panels(); ++panel) {
    linear.product(panel, given, out.mutable_data_ptr<float>() + panel * kPanel, linear.out());
  }
  return (out.to(at::kDouble) - exact).square().mean().item<double>();
}

// In two parts of 192 inputs.
TEST(Int8Weights, LoseLessOfInputsThatGoTogether) {
  if (!int8_absence().empty()) GTEST_SKIP() << int8_absence();
  at::manual_seed(3);
  const at::Tensor rows = at::matmul(at::randn({600, 20}), at::randn({20, 384})) + 0.1 * at::randn({600, 384});
  const at::Tensor others = rows.slice(0, 0, 100).contiguous(), weights = at::randn({128, 384});
  const at::Tensor exact = at::matmul(others.to(at::kDouble), weights.to(at::kDouble).t());
  const Dense dense{.weight = weights, .bias = {}};
  const Int8Linear<float> nearest(dense, roundings_of({at::zeros({600, 384})}).front());
  const Int8Linear<float> rounded(dense, roundings_of({rows.slice(0, 100)}).front());
  EXPECT_LT(error_of(rounded, others, exact), 0.75 * error_of(nearest, others, exact));
}

// Weights that are their codes exactly, so that only the rows lose anything.
TEST(FineRows, LoseAHundredthOfWhatOthersLose) {
  if (!int8_absence().empty()) GTEST_SKIP() << int8_absence();
  at::manual_seed(4);
  const at::Tensor rows = at::randn({9, 256}), norm = at::ones({256});
  at::Tensor weights = at::randint(-127, 128, {64, 256}).to(at::kFloat);
  weights.select(1, 0).fill_(127);
  const Int8Linear<float> linear({.weight = weights, .bias = {}}, roundings_of({at::zeros({9, 256})}).front());
  const at::Tensor exact = at::matmul(at::layer_norm(rows, {256}).to(at::kDouble), weights.to(at::kDouble).t());
  Int8Linear<float>::Rows given;
  given.reserve(9, 256);
  given.set_norm(Norm(norm, at::zeros({256})), rows.const_data_ptr<float>(), 9, 256, {2, 7});
  at::Tensor out = at::empty({9, 64});
  linear.product(0, given, out.mutable_data_ptr<float>(), 64);
  const at::Tensor errors = (out.to(at::kDouble) - exact).norm(2, at::IntArrayRef{1});
  const double most = std::max(errors[2].item<double>(), errors[7].item<double>());
  for (const int64_t other : {0, 1, 3, 4, 5, 6, 8}) EXPECT_LT(100 * most, errors[other].item<double>()) << other;
}

TEST(Int8Weights, AreRefusedWhereSumsWouldNotFit32Bits) {
  const auto made_of = [](int64_t inputs) {
    const Int8Linear<float> linear({.weight = at::ones({64, inputs}), .bias = {}}, Rounding(1));
  };
  EXPECT_NO_THROW(made_of(64));
  EXPECT_THROW(made_of(66048), Error);
}

TEST(Int8Weights, AreRoundedToTheNearestWhereInputsAreNotFinite) {
  const std::vector<Rounding> roundings = roundings_of({at::full({10, 64}, std::nan(""))});
  EXPECT_FALSE(roundings.front().front().defined());
}

TEST(Products, OfBytesAreExact) {
  if (!int8_absence().empty()) GTEST_SKIP() << int8_absence();
  for (const int64_t rows : {1, 5, 98, 128}) {
    const int64_t depth = 768;
    const at::Tensor a = at::randint(0, 256, {rows, depth}, at::kByte);
    const at::Tensor weights = at::randint(-127, 128, {kPanel, depth}, at::kChar);
    const at::Tensor packed = weights.reshape({kPanel, depth / 4, 4}).transpose(0, 1).contiguous();
    at::Tensor sums = at::empty({rows, kPanel}, at::kInt);
    multiply(a.const_data_ptr<uint8_t>(), depth, packed.const_data_ptr<int8_t>(), rows, depth,
             sums.mutable_data_ptr<int32_t>());
    EXPECT_TRUE(at::equal(sums.to(at::kDouble), at::matmul(a.to(at::kDouble), weights.to(at::kDouble).t())));
  }
}

TEST(Products, OfBf16AreThoseOfItsNumbers) {
  const int64_t depth = 130, columns = 48;
  for (const int64_t rows : {1, 5, 98}) {
    const at::Tensor a = at::randn({rows, depth}).to(at::kBFloat16), b = at::randn({depth, columns}).to(at::kBFloat16);
    const at::Tensor pairs = b.reshape({depth / 2, 2, columns}).transpose(1, 2).contiguous();
    const at::Tensor product = at::matmul(a.to(at::kDouble), b.to(at::kDouble));
    at::Tensor sums = at::empty({rows, columns});
    const auto bits = [](const at::Tensor& of) { return static_cast<const uint16_t*>(of.const_data_ptr()); };
    for (const bool accumulate : {false, true}) {
      multiply(bits(a), depth, bits(pairs), columns, rows, columns, depth, sums.mutable_data_ptr<float>(), columns,
               accumulate);
      EXPECT_LT(largest_difference(sums, (accumulate ? 2 : 1) * product), 1e-4);
    }
  }
}

TEST_F(RewrittenTower, EncodesTextInFp32WhateverTheImagesPrecision) {
  const auto towers = rewritten(CLIPN_BF16), exact = rewritten(CLIPN_FP32);
  const at::Tensor ids = prompts(9, 20);
  const int64_t* data = ids.const_data_ptr<int64_t>();
  for (const clipn_tower tower : {CLIPN_TEXT_YES, CLIPN_TEXT_NO}) {
    EXPECT_TRUE(at::equal(towers->encode_text(tower, data, 9, 20), exact->encode_text(tower, data, 9, 20)));
  }
}

TEST_F(RewrittenTower, GivesTheSameImageFeaturesWithoutTextTowers) {
  torch::jit::Module copy = module.deepcopy();
  const auto alone = pack_towers(copy, CLIPN_FP32, /*image_only=*/true);
  ASSERT_NE(alone, nullptr);
  const Images images(3);
  EXPECT_TRUE(at::equal(alone->encode_images(images.batch), rewritten(CLIPN_FP32)->encode_images(images.batch)));
  const int64_t id = 1;
  EXPECT_ANY_THROW(alone->encode_text(CLIPN_TEXT_YES, &id, 1, 1));
}

TEST_F(RewrittenTower, GivesAnImageTheSameBitsInEveryBatch) {
  for (const clipn_precision precision : {CLIPN_FP32, CLIPN_BF16, CLIPN_INT8}) {
    if (precision == CLIPN_INT8 && !int8_absence().empty()) continue;
    const auto towers = rewritten(precision);
    Images images(11);
    const at::Tensor together = towers->encode_images(images.batch);
    clipn_image_batch one = images.batch;
    one.n = 1;
    for (int64_t i = 0; i < 11; ++i) {
      one.pixels = images.pixels.data() + i * static_cast<int64_t>(images.pixels.size()) / 11;
      EXPECT_TRUE(at::equal(towers->encode_images(one)[0], together[i]))
          << "image " << i << ", precision " << precision;
    }
  }
}

TEST_F(RewrittenTower, KnowsQuickGelu) {
  clipn_architecture architecture = kSmall;
  architecture.quick_gelu = 1;
  const auto quick = reloaded(author(architecture));
  auto copy = quick.deepcopy();
  const Images images(2);
  EXPECT_LT(largest_difference(pack_towers(copy, CLIPN_FP32)->encode_images(images.batch),
                               run(quick, "encode_image", images.tensor())),
            2e-6);
}

// Against libtorch's interpreter, in fp32 and bf16.
void expect_the_modules_features(const clipn_architecture& architecture) {
  // Sums over more numbers must not grow: saturated softmaxes magnify rounding.
  const auto written = reloaded(author(architecture, 1.6 / std::sqrt(architecture.vision_width)));
  const Images images(3);
  const at::Tensor ids = prompts(13, 20);
  const int64_t* data = ids.const_data_ptr<int64_t>();
  const at::Tensor image = run(written, "encode_image", images.tensor());
  const at::Tensor yes = run(written, "encode_text_yes", ids), no = run(written, "encode_text_no", ids);
  auto copy = written.deepcopy();
  const auto fp32 = pack_towers(copy, CLIPN_FP32);
  ASSERT_NE(fp32, nullptr);
  EXPECT_LT(largest_difference(fp32->encode_images(images.batch), image), 2e-6);
  EXPECT_LT(largest_difference(fp32->encode_text(CLIPN_TEXT_YES, data, 13, 20), yes), 2e-6);
  EXPECT_LT(largest_difference(fp32->encode_text(CLIPN_TEXT_NO, data, 13, 20), no), 2e-6);
  EXPECT_LT(largest_difference(fp32->encode_image_contributions(images.batch).second,
                               contributions_of(written, architecture, images.tensor())),
            2e-6);
  copy = written.deepcopy();
  const auto bf16 = pack_towers(copy, CLIPN_BF16);
  ASSERT_NE(bf16, nullptr);
  EXPECT_GT(smallest_cosine(bf16->encode_images(images.batch), image), 0.9995);
  EXPECT_NO_THROW(bf16->run_image_linears(5));
  EXPECT_THROW(bf16->run_image_linears(int64_t{1} << 62), Error);
}

// ViT-g/14 and bigG/14 have whole panels; a width of no whole panel, pair or vector must do as well.
TEST_F(RewrittenTower, TakesHiddenLayersOfAnyWidth) {
  for (const auto& [vision, text] : {std::pair{320U, 192U}, {301U, 67U}, {33U, 300U}}) {
    SCOPED_TRACE(std::to_string(vision) + " and " + std::to_string(text));
    clipn_architecture architecture = kSmall;
    architecture.vision_mlp = vision;
    architecture.text_mlp = text;
    expect_the_modules_features(architecture);
  }
}

// 88 and 104 wide in ViT-g/14 and bigG/14: halves of a step. 9 is no pair, and three heads of 64 are no whole panels
// at each step.
TEST_F(RewrittenTower, TakesHeadsOfAnyWidth) {
  for (const auto& [width, heads] :
       {std::pair{704U, 8U}, {832U, 8U}, {576U, 64U}, {192U, 3U}, {192U, 6U}, {64U, 64U}}) {
    SCOPED_TRACE(std::to_string(width) + " wide in " + std::to_string(heads));
    clipn_architecture architecture = kSmall;
    architecture.vision_width = architecture.text_width = width;
    architecture.vision_heads = architecture.text_heads = heads;
    architecture.vision_layers = 2;
    expect_the_modules_features(architecture);
  }
}

TEST_F(RewrittenTower, IsNotMadeOfHiddenLayersOfDifferentWidths) {
  auto mlp = [](torch::jit::Module of, const char* index) {
    return of.attr("visual")
        .toModule()
        .attr("transformer")
        .toModule()
        .attr("resblocks")
        .toModule()
        .attr(index)
        .toModule()
        .attr("mlp")
        .toModule();
  };
  auto second = mlp(module, "1");
  for (const char* part : {"weight", "bias"}) {
    auto fc = second.attr("c_fc").toModule();
    fc.setattr(part, fc.attr(part).toTensor().slice(0, 0, 100));
  }
  auto proj = second.attr("c_proj").toModule();
  proj.setattr("weight", proj.attr("weight").toTensor().slice(1, 0, 100));
  const Images images(2);
  EXPECT_EQ(run(module, "encode_image", images.tensor()).size(0), 2) << "libtorch runs it";
  EXPECT_EQ(rewritten(CLIPN_FP32), nullptr);
}

TEST_F(RewrittenTower, IsNotMadeOfOtherPrograms) {
  // The weights are ours, one method is another.
  torch::jit::Module other("Clipn");
  other.register_module("visual", module.attr("visual").toModule());
  other.define(
      "def encode_image(self, pixels):\n    return self.visual.project(self.visual.tokens(pixels)[:, 0]) * 2.0\n");
  EXPECT_EQ(pack_towers(other, CLIPN_FP32), nullptr);
}

TEST_F(RewrittenTower, IsNotMadeOfWeightsOfOtherShapes) {
  auto block =
      module.attr("visual").toModule().attr("transformer").toModule().attr("resblocks").toModule().attr("1").toModule();
  block.attr("attn").toModule().setattr("in_proj_bias", at::zeros({7}));
  EXPECT_EQ(rewritten(CLIPN_FP32), nullptr);
}

TEST_F(RewrittenTower, IsNotMadeOfSizesThatDoNotFitTheKernels) {
  clipn_architecture narrow = kSmall;
  narrow.vision_width = 72;
  auto written = reloaded(author(narrow));
  EXPECT_EQ(pack_towers(written, CLIPN_FP32), nullptr);
}

TEST_F(RewrittenTower, IsNotMadeOfTowersWithoutBlocks) {
  for (uint32_t clipn_architecture::*layers : {&clipn_architecture::vision_layers, &clipn_architecture::text_layers}) {
    clipn_architecture empty = kSmall;
    empty.*layers = 0;
    auto written = reloaded(author(empty));
    EXPECT_EQ(pack_towers(written, CLIPN_FP32), nullptr);
  }
}

TEST_F(RewrittenTower, RefusesImagesOfAnotherSideAndIdsOutsideTheVocabulary) {
  const auto towers = rewritten(CLIPN_FP32);
  EXPECT_ANY_THROW(towers->encode_images(Images(1, 48).batch));
  const std::vector<int64_t> outside = {1, 50}, negative = {-1, 49};
  EXPECT_ANY_THROW(towers->encode_text(CLIPN_TEXT_YES, outside.data(), 1, 2));
  EXPECT_ANY_THROW(towers->encode_text(CLIPN_TEXT_YES, negative.data(), 1, 2));
}

}  // namespace
}  // namespace clipn
