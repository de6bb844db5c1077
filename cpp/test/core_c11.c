/* core.h is C: this file compiles as C11, and each of its functions links from C. */
#include "core_c11.h"

#include <clipn/core.h>

_Static_assert(sizeof(clipn_status) == sizeof(int), "statuses cross the boundary as int");
_Static_assert(offsetof(clipn_model_options, size) == 0, "structs that may grow start with their size");

size_t clipn_c11_sizes(const size_t** sizes) {
  static const size_t values[] = {
      sizeof(clipn_error),           sizeof(clipn_core_info),
      sizeof(clipn_lane_options),    sizeof(clipn_image),
      sizeof(clipn_model_options),   sizeof(clipn_model_info),
      sizeof(clipn_image_batch),     sizeof(clipn_score_input),
      sizeof(clipn_score_output),    sizeof(clipn_tensor),
      sizeof(clipn_architecture),    sizeof(clipn_export_options),
      sizeof(clipn_teacher_options), sizeof(clipn_teacher_batch),
      sizeof(clipn_teacher_losses),  sizeof(clipn_torchscript_options),
  };
  *sizes = values;
  return sizeof(values) / sizeof(values[0]);
}

int clipn_c11_refusals(void) {
  clipn_error error;
  int refused = 0;
  refused += clipn_core_describe(NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_lane_create(NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_lane_post(NULL, NULL, NULL, NULL) == CLIPN_INVALID_ARG;
  refused += clipn_lane_cancel(NULL, 1) == 0;
  refused += clipn_preprocess(NULL, 224, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_cuda_open(NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_model_open(NULL, NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_model_describe(NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_encode_images(NULL, NULL, 1, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_encode_image_patches(NULL, NULL, 1, 1, NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_encode_text(NULL, CLIPN_TEXT_YES, NULL, 1, 1, 1, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_run_image_linears(NULL, 1, &error) == CLIPN_INVALID_ARG;
  refused += clipn_score(NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_export(NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_export_torchscript(NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_teacher_open(NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_teacher_step(NULL, NULL, NULL, &error) == CLIPN_INVALID_ARG;
  refused += clipn_teacher_read(NULL, CLIPN_TEACHER_WEIGHT, NULL, NULL, 0, &error) == CLIPN_INVALID_ARG;
  clipn_teacher_close(NULL);
  clipn_lane_destroy(NULL, NULL);
  clipn_model_close(NULL);
  return clipn_abi_version() == CLIPN_ABI_VERSION ? refused : -1;
}
