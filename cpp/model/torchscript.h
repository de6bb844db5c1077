#ifndef CLIPN_MODEL_TORCHSCRIPT_H_
#define CLIPN_MODEL_TORCHSCRIPT_H_

#include "clipn/core.h"

namespace clipn {

/// Writes a model's image tower and a label bank as one TorchScript module with one `forward`, for programs that know
/// libtorch and nothing of this library. Weights are float32; the text towers stay behind where the model is one that
/// export wrote.
/// Throws clipn::Error: MODEL_NOT_FOUND, MODEL_FORMAT; MODEL_CONTRACT for a model without encode_image or whose
/// features are not as wide as the bank; INVALID_ARG for sizes that are none; IO.
void export_torchscript(const clipn_torchscript_options& options);

}  // namespace clipn

#endif  // CLIPN_MODEL_TORCHSCRIPT_H_
