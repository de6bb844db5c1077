#pragma once

#include "clipn/core.h"

namespace clipn {

/// Writes a model file from the tensors of a checkpoint (spec 1.8), authored here: no Python runs.
///
/// The file offers encode_image and encode_image_patches, unless image_only encode_text_yes, and with `prompt_no`
/// encode_text_no. Weights keep their published names, except that `positional_embedding_no` holds the sum with
/// the mean of `prompt_no` (spec 1.4) and `logit_scale` is left out (spec 1.6).
/// Throws clipn::Error: CHECKPOINT for a tensor that is missing, has another shape, leaves the file or is not finite in
/// the stored precision; IO when a file cannot be read or written; INVALID_ARG for a dtype or size that is none.
void export_model(const clipn_export_options& options);

}  // namespace clipn
