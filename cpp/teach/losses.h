#pragma once

#include <ATen/core/Tensor.h>

namespace clipn {

/// The losses of one batch (spec 5.2), scalars with a gradient.
struct Losses {
  at::Tensor yes;    ///< ITBO: an image's own caption beats that caption's "no"; ln 2 when h = g
  at::Tensor no;     ///< ITBO: for every other caption the "no" wins; ln 2 when h = g, 0 without negatives
  at::Tensor text;   ///< TSO: yes and no of one caption are antipodal; 1.99 when h = g, about 0 at the end
  at::Tensor total;  ///< (yes + no + text) / 2
};

/// f, g, h: float [N, D], unit rows of the images and of their captions in the yes and the no tower; s: the logit
/// scale. negative: float [N, N], 1 where caption j is no caption of image i, else 0.
///   z_ij = s (<f_i, g_j> - <f_i, h_j>)
///   yes  = mean_i softplus(-z_ii)
///   no   = mean over the negatives of softplus(z_ij)
///   text = mean_i (2 - sqrt(2 - 2 <g_i, h_i> + 1e-4))
/// softplus keeps them finite where the published form, log after softmax, gives NaN (spec 5.2).
Losses losses(const at::Tensor& f, const at::Tensor& g, const at::Tensor& h, double s, const at::Tensor& negative);

}  // namespace clipn
