// Scores of images against a label bank (spec 3).
#ifndef CLIPN_SCORE_SCORE_H_
#define CLIPN_SCORE_SCORE_H_

#include "clipn/core.h"
#include "cpu/kernels.h"

namespace clipn {

// Every score and the top list in one pass over blocks of images and classes: shapes, signs and what may be NULL stand
// at clipn_score_input and clipn_score_output. An image whose features hold a NaN gets NaN in every score; its top list
// is classes 0 ... k - 1 with NaN probabilities. fp32 dot products by libtorch; no [n, c] buffer of our own.
// Uses the intra-op threads of the calling thread. Throws Error(CLIPN_INVALID_ARG).
void score(const clipn_score_input& input, const clipn_score_output& output);

// The same with the kernels of a given target.
void score(const cpu::Kernels& kernels, const clipn_score_input& input, const clipn_score_output& output);

// Scale, bank and words of an input, whatever its images. Throws Error(CLIPN_INVALID_ARG).
void check_bank(const clipn_score_input& input);

}  // namespace clipn

#endif  // CLIPN_SCORE_SCORE_H_
