/*
 * The kernels as plain C functions on device pointers: what the plugin's torch side calls, and a script through ctypes.
 * Each queues its work on `stream` (a cudaStream_t) of the current device and returns a cudaError_t: 0, or what a
 * launch reported. None allocates, none waits.
 */
#ifndef CLIPN_CUDA_LAUNCH_H_
#define CLIPN_CUDA_LAUNCH_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLIPN_CUDA_API __attribute__((visibility("default")))

/* Whether the current device can run the kernels: 0, or what keeps it from that. */
CLIPN_CUDA_API int clipn_cuda_check(void);

enum { CLIPN_CUDA_FP32 = 0, CLIPN_CUDA_BF16 = 1, CLIPN_CUDA_FP16 = 2 };

/* Longest top list. */
enum { CLIPN_CUDA_MAX_K = 16 };

/* Where the results go, device memory, rows of all n images. */
typedef struct clipn_cuda_scores {
  float* scores;      /* [9, n] in the order of clipn_score_output: ctw, atd, msp, ..., log_q_max */
  int32_t* top_index; /* [n, k] */
  float* top_p;       /* [n, k] */
  float* top_p_yes;   /* [n, k] */
  void* workspace;    /* at least the bytes that clipn_cuda_*_workspace says, 16-byte aligned */
  int64_t workspace_bytes;
} clipn_cuda_scores;

typedef struct clipn_cuda_features {
  const void* features; /* [n, d] */
  const void* yes;      /* [c, d] */
  const void* no;       /* [c, d], or NULL: scores of the "no" side are then NaN */
  int64_t n, c, d;      /* rows a multiple of 128 bytes, 16-byte aligned: pad with zeros */
  int32_t type;         /* of all three: fp32 (three TF32 products each, two-level sums) or bf16; sums in fp32 */
  int32_t k;            /* 0 ... CLIPN_CUDA_MAX_K, at most c */
  float scale;
} clipn_cuda_features;

/* Bytes for n images at once; with less (but at least what 64 images need) they are taken in several rounds. */
CLIPN_CUDA_API int64_t clipn_cuda_features_workspace(int64_t n, int64_t c, int32_t k);
CLIPN_CUDA_API int clipn_cuda_score_features(const clipn_cuda_features* input, const clipn_cuda_scores* output,
                                             void* stream);

typedef struct clipn_cuda_logits {
  const float* yes; /* a [n, c] */
  const float* no;  /* b [n, c], or NULL */
  int64_t n, c;
  int32_t k;
  float scale; /* of the logits: MCM needs the cosines */
} clipn_cuda_logits;

CLIPN_CUDA_API int64_t clipn_cuda_logits_workspace(int64_t n, int64_t c, int32_t k);
CLIPN_CUDA_API int clipn_cuda_score_logits(const clipn_cuda_logits* input, const clipn_cuda_scores* output,
                                           void* stream);

/* ((v / 255) - mean) / std of bytes [n, side, side, 3] to [n, 3, side, side] of any of the three types. */
CLIPN_CUDA_API int clipn_cuda_normalise(const uint8_t* pixels, int64_t n, int64_t side, const float* mean,
                                        const float* std, int32_t type, void* to, void* stream);

/* One axis of a resize (image/resize_plan.h), its numbers as int32 at these bytes of the packed block. */
typedef struct clipn_cuda_axis {
  int64_t first, taps; /* [side] */
  int64_t weights;     /* [side, capacity] */
  int32_t capacity;
} clipn_cuda_axis;

/* One image. */
typedef struct clipn_cuda_resize_job {
  clipn_cuda_axis x, y;
  int64_t window;  /* byte of the packed block: pixels [height, width, channels] */
  int64_t between; /* byte of `between`: side * height * 3 bytes, with vertical_first side * width * 3 */
  int32_t width, height;
  int32_t channels; /* 1, 3, or 4: alpha is ignored */
  int32_t vertical_first;
} clipn_cuda_resize_job;

/* Images to pixels [n, side, side, 3], as clipn_preprocess. `packed`, 16-byte aligned, begins with n jobs
 * (cuda/resize_jobs.h writes it); `most` is the most pixels that the first pass of any image makes. n <= 65535. */
CLIPN_CUDA_API int clipn_cuda_resize(const void* packed, int64_t n, int64_t most, void* between, int64_t side,
                                     uint8_t* pixels, void* stream);

#ifdef __cplusplus
}
#endif
#endif /* CLIPN_CUDA_LAUNCH_H_ */
