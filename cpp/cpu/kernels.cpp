// One CPU target: compiled once per target, CLIPN_CPU_TARGET names it (kernels.cmake sets it and the flags).
#include "cpu/kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstddef>
#include <utility>

#ifndef CLIPN_CPU_TARGET
#error "define CLIPN_CPU_TARGET as base, avx2, avx512 or avx512bf16"
#endif
#define CLIPN_QUOTE(text) #text
#define CLIPN_NAME(target) CLIPN_QUOTE(target)

namespace clipn::cpu::CLIPN_CPU_TARGET {

#include "cpu/lanes.inl"
// After the lanes.
#include "cpu/exp2.inl"
#include "image/resize.inl"
#include "score/score.inl"
#include "score/words.inl"
#include "tower/code_products.inl"
#include "tower/rows.inl"
// After the rows: it uses their LayerNorm and activations.
#include "tower/int8.inl"
#include "tower/rounding.inl"

const Kernels kernels = {
    CLIPN_NAME(CLIPN_CPU_TARGET),
    resize_horizontal,
    resize_vertical,
    score_block,
    sum_words,
    {layer_norm<float>, store_linear<float>, softmax<float>, store_scaled<float>, quantise<float>,
     quantise_finely<float>, store_sums<float>},
    {layer_norm<uint16_t>, store_linear<uint16_t>, softmax<uint16_t>, store_scaled<uint16_t>, quantise<uint16_t>,
     quantise_finely<uint16_t>, store_sums<uint16_t>},
    transpose_words,
    interleave_pairs,
    weight_scales,
    round_weights,
    quantise_norm,
    add_sums,
    CLIPN_MULTIPLY_CODES,
    CLIPN_MULTIPLY_CODES_AS_WORDS,
};

}  // namespace clipn::cpu::CLIPN_CPU_TARGET
