/*
 * clipn core: the C ABI between a host (the Node glue in binding/) and the engine (cpp/, built on libtorch).
 *
 * Usage     clipn_abi_version() first; then lanes, models, scores. Every function here blocks: call them from a lane
 *           (clipn_lane_post), never from a thread that must stay responsive. Only clipn_abi_version,
 *           clipn_core_describe and the clipn_lane_* functions return at once, of these not clipn_lane_destroy.
 * Threads   A model may be used by one thread at a time; its lane guarantees that. Other functions are thread-safe.
 * Ownership The caller owns every buffer it passes in and reads it back when the call returns; nothing is retained.
 * Errors    A function returns a clipn_status. If `error` is given, its text says what was wrong; no exception and no
 *           signal crosses this header, and the core never prints or exits.
 * Growth    Option structs start with `size` (set it to sizeof); new fields are appended, functions keep their meaning.
 * Layout    Matrices are dense, row-major: N images, C classes, D embedding width, L tokens, S image side, K entries.
 */
#ifndef CLIPN_CORE_H
#define CLIPN_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define CLIPN_API __declspec(dllexport)
#else
#define CLIPN_API __attribute__((visibility("default")))
#endif

/* Major in the high 16 bits: another major is another contract. */
#define CLIPN_ABI_VERSION 0x00020006u

typedef enum clipn_status {
  CLIPN_OK = 0,
  CLIPN_INVALID_ARG = 1,     /* a null, a size out of range, a misspelt name */
  CLIPN_MODEL_NOT_FOUND = 2, /* the model file cannot be opened */
  CLIPN_MODEL_FORMAT = 3,    /* not a model file, or a damaged one */
  CLIPN_MODEL_CONTRACT = 4,  /* a model file that lacks a method or returns another shape than it promises */
  CLIPN_CHECKPOINT = 5,      /* a tensor of the checkpoint cannot be read as described */
  CLIPN_IO = 6,              /* a file cannot be read or written */
  CLIPN_OUT_OF_MEMORY = 7,
  CLIPN_CLOSED = 8,              /* the lane is closing */
  CLIPN_INTERNAL = 9,            /* a defect here or in libtorch; the text has its own words */
  CLIPN_DEVICE_UNAVAILABLE = 10, /* no CUDA here; the text says what is missing */
  CLIPN_DEVICE_LOST = 11         /* the GPU failed: every later call on it in this process will, too */
} clipn_status;

/* Caller-owned message buffer; always NUL-terminated, cut at its end. */
typedef struct clipn_error {
  char text[2048];
} clipn_error;

/* ---- the core itself ------------------------------------------------------------------------------------------- */

CLIPN_API uint32_t clipn_abi_version(void);

typedef struct clipn_core_info {
  uint32_t size;
  const char* torch_version;  /* of the libtorch compiled against, e.g. "2.13.0"; static */
  const char* cpu_target;     /* kernels chosen at run time: "base", "avx2", "avx512" or "avx512bf16"; static */
  const char* cpu_capability; /* libtorch's own choice, e.g. "AVX512"; static */
  uint32_t cpu_bf16;          /* 1 when the CPU has AVX-512-BF16 or AMX-BF16 */
  uint32_t cpu_int8;          /* 1 when the CPU has AVX-512-VNNI, AVX-VNNI or AMX-INT8: int8 is twice as fast or more */
} clipn_core_info;

/* INVALID_ARG when CLIPN_CPU names an unknown target or one this machine lacks. */
CLIPN_API clipn_status clipn_core_describe(clipn_core_info* out, clipn_error* error);

/* Why CLIPN_INT8 is refused on this CPU; "" when it is not; static. The first call takes milliseconds: it multiplies.
 */
CLIPN_API clipn_status clipn_int8_absence(const char** out, clipn_error* error);

/* ---- lanes: one thread and a first-in-first-out queue ------------------------------------------------------------ */

typedef struct clipn_lane clipn_lane;

typedef struct clipn_lane_options {
  uint32_t size;
  uint32_t threads; /* intra-op threads of this lane, at most 1024; 0 = libtorch's own choice, one per physical core */
} clipn_lane_options;

/* Called on the lane's thread. Must not call clipn_lane_destroy. Must not throw: nobody hears of what it throws, and
 * the next job runs. */
typedef void (*clipn_job)(void* context);

CLIPN_API clipn_status clipn_lane_create(const clipn_lane_options* options, clipn_lane** out, clipn_error* error);

/* Queues `run`; `ticket` (may be NULL) names it for clipn_lane_cancel. CLOSED once destruction has begun,
 * INVALID_ARG for a null lane or job. */
CLIPN_API clipn_status clipn_lane_post(clipn_lane* lane, clipn_job run, void* context, uint64_t* ticket);

/* 1 if the job was still queued: it is removed, `run` will not be called. 0 if it is running, done or unknown. */
CLIPN_API int clipn_lane_cancel(clipn_lane* lane, uint64_t ticket);

/* Removes queued jobs (calling `drop` for each, may be NULL), waits for the running one, joins, frees. */
CLIPN_API void clipn_lane_destroy(clipn_lane* lane, clipn_job drop);

/* ---- pixels (spec 4.2) ------------------------------------------------------------------------------------------- */

typedef struct clipn_image {
  const uint8_t* data; /* interleaved 8-bit samples, rows `stride` bytes apart */
  uint32_t width, height;
  uint32_t channels; /* 1 grey, 3 RGB, 4 RGBA (alpha ignored, as Pillow's convert("RGB")) */
  uint64_t stride;   /* bytes; at least width * channels */
} clipn_image;

/* Shorter side to `side` (Pillow's bicubic, byte for byte), centre crop; out is uint8 [side, side, 3]. */
CLIPN_API clipn_status clipn_preprocess(const clipn_image* image, uint32_t side, uint8_t* out, clipn_error* error);

/* ---- CUDA: a plugin beside the core, opened at run time ---------------------------------------------------------- */

typedef enum clipn_device { CLIPN_CPU = 0, CLIPN_CUDA = 1 } clipn_device;

typedef enum clipn_cuda_part {
  CLIPN_CUDA_READY = 0,        /* nothing is missing */
  CLIPN_CUDA_DRIVER = 1,       /* libcuda.so.1 */
  CLIPN_CUDA_DEVICE = 2,       /* a GPU */
  CLIPN_CUDA_ARCHITECTURE = 3, /* a GPU that the kernels were compiled for */
  CLIPN_CUDA_PLUGIN = 4        /* the plugin, or what it links (a CUDA libtorch) */
} clipn_cuda_part;

typedef struct clipn_cuda_info {
  uint32_t size;
  clipn_cuda_part missing; /* the first piece that is */
  int32_t driver;          /* CUDA version that the driver supports, e.g. 13000; 0 without one */
  int32_t devices;
  int32_t capability; /* of device 0, e.g. 90 */
  uint64_t memory;    /* bytes of device 0 */
  char name[256];     /* of device 0 */
  char reason[1024];  /* what was found instead of `missing`; "" when READY */
} clipn_cuda_info;

/* Looks at driver and device 0 and, if `plugin` (a path) is given, opens it for the whole process: models and scores
 * may then use CLIPN_CUDA. OK whatever is found: out->missing says it. Takes a second where there is a GPU. */
CLIPN_API clipn_status clipn_cuda_open(const char* plugin, clipn_cuda_info* out, clipn_error* error);

/* ---- models ------------------------------------------------------------------------------------------------------ */

typedef struct clipn_model clipn_model;

typedef enum clipn_precision {
  CLIPN_FP32 = 0,
  CLIPN_FP16 = 1,
  CLIPN_BF16 = 2,
  CLIPN_INT8 = 3 /* image towers on a CPU only */
} clipn_precision;

/* Bits of clipn_model_info.methods. */
enum { CLIPN_ENCODE_IMAGE = 1, CLIPN_ENCODE_IMAGE_PATCHES = 2, CLIPN_ENCODE_TEXT_YES = 4, CLIPN_ENCODE_TEXT_NO = 8 };

typedef struct clipn_model_options {
  uint32_t size;
  clipn_precision precision; /* of the image tower's arithmetic, whatever the file stores: FP32 or BF16, on a CPU INT8
                                and on CUDA FP16, too. Text is encoded in FP32 */
  clipn_device device;       /* CUDA: DEVICE_UNAVAILABLE unless clipn_cuda_open has opened it */
  uint32_t image_only;       /* 1: no text tower is kept, and the model has none of the text methods */
} clipn_model_options;

typedef struct clipn_model_info {
  uint32_t size;
  uint32_t methods;
  const char* clipn_json;     /* extra file clipn.json; owned by the model; "" when absent */
  const char* tokenizer_json; /* extra file tokenizer.json; owned by the model; "" when absent */
  uint32_t rewritten;         /* 1: the towers run with weights packed for this machine; 0: as the file has them */
} clipn_model_info;

CLIPN_API clipn_status clipn_model_open(const char* path, const clipn_model_options* options, clipn_model** out,
                                        clipn_error* error);
CLIPN_API clipn_status clipn_model_describe(const clipn_model* model, clipn_model_info* out, clipn_error* error);
CLIPN_API void clipn_model_close(clipn_model* model);

typedef struct clipn_image_batch {
  uint32_t size;
  uint32_t side;         /* S */
  const uint8_t* pixels; /* [n, S, S, 3], as clipn_preprocess writes them; or NULL */
  int64_t n;
  float mean[3], std[3];     /* of the [0, 1] range, RGB */
  const clipn_image* images; /* instead of pixels: [n], resized as by clipn_preprocess where the model runs */
} clipn_image_batch;

/* features: float [n, d], unit rows. */
CLIPN_API clipn_status clipn_encode_images(clipn_model* model, const clipn_image_batch* batch, int64_t d,
                                           float* features, clipn_error* error);

/* As clipn_encode_images, and from the same forward pass patches: float [n, p, d], unit rows; p is the number of
 * patches of the model's image tower. MODEL_CONTRACT for a model without CLIPN_ENCODE_IMAGE_PATCHES or with another p.
 */
CLIPN_API clipn_status clipn_encode_image_patches(clipn_model* model, const clipn_image_batch* batch, int64_t d,
                                                  int64_t p, float* features, float* patches, clipn_error* error);

/* As clipn_encode_images, bit for bit, and from the same forward pass contributions: float [n, p, d], what each patch
 * adds to the feature through the attention of the last block. Their sum is a part of the feature; the rest comes from
 * the class token, biases and the last MLP. MODEL_CONTRACT when the model was not rewritten, or for another p. */
CLIPN_API clipn_status clipn_encode_image_contributions(clipn_model* model, const clipn_image_batch* batch, int64_t d,
                                                        int64_t p, float* features, float* contributions,
                                                        clipn_error* error);

typedef enum clipn_tower { CLIPN_TEXT_YES = 0, CLIPN_TEXT_NO = 1 } clipn_tower;

/* ids: int64 [n, l]; features: float [n, d], unit rows (spec 1.3, 1.4). */
CLIPN_API clipn_status clipn_encode_text(clipn_model* model, clipn_tower tower, const int64_t* ids, int64_t n,
                                         int64_t l, int64_t d, float* features, clipn_error* error);

/* The linears of all image blocks for n images, once, with the model's own packed weights, and nothing else: what
 * clipn_encode_images cannot be faster than. For benchmarks. MODEL_CONTRACT when the model was not rewritten. */
CLIPN_API clipn_status clipn_run_image_linears(clipn_model* model, int64_t n, clipn_error* error);

/* ---- scores (spec 3) --------------------------------------------------------------------------------------------- */

typedef struct clipn_score_input {
  uint32_t size;
  float scale;           /* s; 100 for the published models */
  const float* features; /* f [n, d], unit rows */
  const float* bank_yes; /* g [c, d], unit rows */
  const float* bank_no;  /* h [c, d], unit rows; NULL for a plain CLIP */
  int64_t n, c, d;
  int64_t k;           /* entries of the top list, 0 <= k <= c */
  clipn_device device; /* CUDA: the same scores to 1e-5; with logits wanted, words given or k > 16 the CPU computes them
                          all the same */
  uint64_t bank_id;    /* CUDA: not 0: names the bank's numbers, which are kept on the device under it */
  const float* words;  /* u [w, d], unit rows of negative words, group after group; NULL for none */
  int64_t w;
  const int64_t* group_ends; /* [groups] the word after each group's last: rising, the last is w; NULL for none */
  int64_t groups;
} clipn_score_input;

/* Every score is higher = more in-distribution, except log_p_out. Without bank_no, those marked (no) are NaN. Without
 * words, those marked (words) are NaN and the index is -1; they may then be NULL. */
typedef struct clipn_score_output {
  uint32_t size;
  float* ctw;       /* [n] (no) p_yes at the top class */
  float* atd;       /* [n] (no) sum_j p_j p_yes_j = 1 - p(C+1) */
  float* msp;       /* [n] max_j p_j */
  float* max_logit; /* [n] max_j a_j */
  float* energy;    /* [n] logsumexp_j a_j */
  float* mcm;       /* [n] max softmax of the cosines at T = 1 */
  float* gap;       /* [n] (no) a - b at the top class: ranks as ctw but does not saturate */
  float* log_p_out; /* [n] (no) log p(C+1): higher = more OUT */
  float*
      log_q_max; /* [n] (no) log of the largest p_j p_yes_j: the paper's ATD rule says out when log_p_out exceeds it */
  int32_t* top_index; /* [n, k] by falling a, lower index first among equals */
  float* top_p;       /* [n, k] p */
  float* top_p_yes;   /* [n, k] (no) p_yes */
  float* logits_yes;  /* [n, c] a, or NULL when not wanted */
  float* logits_no;   /* [n, c] b, or NULL when not wanted */
  /* (words) NegLabel (Jiang et al., ICLR 2024) [n]: mean over groups of S / (S + sum of e^{s <f, u_k>}, k in the
   * group), S = sum_j e^{a_j}; in [0, 1] */
  float* neg_label;
  /* (words, no) OLE (arXiv 2406.01170) [n]: sum over classes of p_yes_j times the softmax of a_j over all logits, a of
   * the classes and s <f, u> of the words; in [0, 1] */
  float* ole;
  float* word_max;     /* [n] (words) max_k s <f, u_k>: as exact as max_logit, equal to it for equal rows */
  int32_t* word_index; /* [n] (words) where that stands, lower first among equals; -1 for an image with NaN */
} clipn_score_output;

CLIPN_API clipn_status clipn_score(const clipn_score_input* input, const clipn_score_output* output,
                                   clipn_error* error);

/* ---- export: checkpoint tensors to a model file (spec 1.8) ---------------------------------------------------------
 */

typedef struct clipn_tensor {
  const char* name;      /* key of the state dict, without "module." */
  const char* dtype;     /* "float32", "float16" or "bfloat16" */
  const int64_t* shape;  /* [rank] */
  const int64_t* stride; /* [rank], in elements */
  uint32_t rank;
  uint64_t offset; /* byte of the first element in the checkpoint file */
} clipn_tensor;

typedef struct clipn_architecture {
  uint32_t size;
  uint32_t embed_dim;
  uint32_t image_size, patch_size, vision_width, vision_heads, vision_layers;
  uint32_t context_length, vocab_size, text_width, text_heads, text_layers;
  uint32_t quick_gelu;           /* 1: x * sigmoid(1.702 x), OpenAI's own weights; 0: erf GELU */
  uint32_t vision_mlp, text_mlp; /* width of a block's hidden layer; of most networks 4 times the tower's */
} clipn_architecture;

typedef struct clipn_export_options {
  uint32_t size;
  const char* checkpoint; /* file that holds the tensors, uncompressed */
  const char* target;     /* model file to write; the caller renames it into place */
  const clipn_tensor* tensors;
  uint64_t tensor_count;
  const clipn_architecture* architecture;
  clipn_precision dtype;      /* of the stored weights */
  uint32_t image_only;        /* 1: no text towers */
  const char* clipn_json;     /* stored as extra file clipn.json */
  const char* tokenizer_json; /* stored as extra file tokenizer.json; "" for none */
} clipn_export_options;

CLIPN_API clipn_status clipn_export(const clipn_export_options* options, clipn_error* error);

/* ---- a detector as one TorchScript module, for servers of such modules ---------------------------------------------
 */

typedef struct clipn_torchscript_options {
  uint32_t size;
  const char* model;             /* model file */
  const char* target;            /* file to write; the caller renames it into place */
  const clipn_score_input* bank; /* its scale, bank_yes, bank_no, words, group_ends and their sizes; n and k are 0 */
  uint32_t side;                 /* S */
  uint32_t normalised; /* 0: forward takes uint8 [N, S, S, 3], as clipn_preprocess writes them; 1: float [N, 3, S, S] */
  float mean[3], std[3]; /* of the [0, 1] range, RGB; not used when `normalised` is 1 */
  const char* json;      /* stored as extra file forward.json; NULL or "" for none */
} clipn_torchscript_options;

/* Writes a file with one method, forward(pixels), which gives a tuple of tensors, named as in clipn_score_output: float
 * features [N, D]; int64 label [N, 1], the top class; float p [N, C], then float [N, 1] msp, max_logit, energy, mcm.
 * With bank_no then p_yes [N, C], ctw, atd, gap, log_p_out, log_q_max. With words then int64 word [N, 1], neg_label,
 * word_max. With both then ole. libtorch loads it on any device, and needs
 * nothing of this library. */
CLIPN_API clipn_status clipn_export_torchscript(const clipn_torchscript_options* options, clipn_error* error);

/* ---- teaching: the no tower on features of the frozen towers (spec 5) ----------------------------------------------
 */

typedef struct clipn_teacher clipn_teacher;

typedef struct clipn_teacher_options {
  uint32_t size;
  const char* checkpoint; /* file that holds the tensors, uncompressed */
  /* The no tower's tensors under their published names; prompt_no is zero when absent. To go on with a training, the
   * optimizer's moments too, named "exp_avg:" or "exp_avg_sq:" and the tensor; they are zero when absent. */
  const clipn_tensor* tensors;
  uint64_t tensor_count;
  const clipn_architecture* architecture;
  clipn_precision precision; /* of the matrix products: FP32 or BF16; the weights are float32 */
  const char* device;        /* "cpu" or "cuda" (DEVICE_UNAVAILABLE without a CUDA libtorch) */
  uint32_t prompts;          /* K, maps of prompt_no */
  uint32_t micro_batch;      /* texts whose activations are kept at a time; 0 = all of a batch */
  uint64_t steps_taken;      /* to get the moments */
  double scale;              /* s = exp(logit_scale) */
  double beta1, beta2, epsilon, weight_decay;
} clipn_teacher_options;

typedef struct clipn_teacher_batch {
  uint32_t size;
  int64_t n, l;
  const float* image;    /* f [n, d], unit rows */
  const float* yes;      /* g [n, d], unit rows */
  const int64_t* ids;    /* [n, l] token ids, read out at the largest of a row (spec 1.3) */
  const int64_t* maps;   /* [n] the prompt map of each text, 0 ... K - 1, or K for the mean of all (spec 1.4) */
  const int64_t* groups; /* [n] captions of one group are no negatives of each other; NULL: every other one is */
  double learning_rate;
} clipn_teacher_batch;

/* Losses of the batch before the step (spec 5.2). */
typedef struct clipn_teacher_losses {
  uint32_t size;
  uint32_t finite; /* 0: a loss or a gradient is not finite, and nothing was changed */
  double yes, no, text, total;
} clipn_teacher_losses;

typedef enum clipn_teacher_part {
  CLIPN_TEACHER_WEIGHT = 0,
  CLIPN_TEACHER_MEAN = 1,  /* exp_avg, running mean of the gradient */
  CLIPN_TEACHER_SQUARE = 2 /* exp_avg_sq, running mean of its square */
} clipn_teacher_part;

CLIPN_API clipn_status clipn_teacher_open(const clipn_teacher_options* options, clipn_teacher** out,
                                          clipn_error* error);
CLIPN_API clipn_status clipn_teacher_step(clipn_teacher* teacher, const clipn_teacher_batch* batch,
                                          clipn_teacher_losses* losses, clipn_error* error);
/* Copies a trained tensor or a moment of it, float [count], row-major. */
CLIPN_API clipn_status clipn_teacher_read(const clipn_teacher* teacher, clipn_teacher_part part, const char* name,
                                          float* out, uint64_t count, clipn_error* error);
CLIPN_API void clipn_teacher_close(clipn_teacher* teacher);

#ifdef __cplusplus
}
#endif
#endif /* CLIPN_CORE_H */
