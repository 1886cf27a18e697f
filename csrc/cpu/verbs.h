#pragma once
// The small table of row and tile functions that differ by instruction set. Ops in cpu/*.cpp split work and call these,
// one call per row or tile. Files under cpu/isa are sealed: they include this header, <immintrin.h> and <string.h>,
// nothing else, because an inline function of a shared header, compiled with wide instructions, could win at link time
// and crash an old CPU.
#include <stddef.h>
#include <stdint.h>

namespace hb::cpu {

/// Bits of a `types` argument: which of a verb's float operands are bf16 (the others are f32).
enum Types : int { kFirstBf16 = 1, kSecondBf16 = 2, kThirdBf16 = 4 };

/// One tile of x W^T: `rows` rows of x against up to four panels of 16 weight rows, K in order, accumulated in f32.
struct LinearTile {
  const void* x;     ///< [rows, stride] f32, or bf16 when `dot`; columns at or beyond k are zero up to the padding
  int64_t x_stride;  ///< elements
  int64_t rows;
  int64_t k;  ///< columns of the weight, unpadded
  const void* panel[4];
  int panels;
  int weight_bf16;  ///< panels are [k / 2][16][2] bf16, else [k][16] f32
  int dot;          ///< both are bf16 and the instruction set multiplies them so
  float* out;       ///< [rows, 64]: 16 columns per panel
  int resume = 0;   ///< go on from the sums in `out`, as one chain with the columns before (K in blocks)
  int tiles = 0;    ///< tiles of rows that share a block of columns which another follows: they fetch it meanwhile
  const void* next[4] = {};  ///< panels that come after these: they are fetched meanwhile; null: none
};

struct LinearEpilogue {
  const float* acc;  ///< [rows, 64]
  int64_t rows;
  int64_t columns;   ///< live columns of out, at most 64 (32 for swiglu)
  const void* bias;  ///< of the first column, or null
  int bias_bf16;
  const void* bias_up;   ///< swiglu: bias of the first up column, or null
  int activation;        ///< enum Activation
  const void* residual;  ///< first element, or null; same dtype and stride as out
  void* out;
  int64_t out_stride;  ///< elements
  int out_bf16;
};

/// Rows that one call of `attend` takes at most.
constexpr int kAttentionRows = 32;

/// Query rows that share keys and values, up to kAttentionRows.
struct AttentionRows {
  float* q;                 ///< [rows, d]; may be scaled in place
  const uint16_t* q_pairs;  ///< with bf16 tiles: q as bf16 [rows, d rounded up to even], zeros at the end
  int rows;
  int64_t d;
  float scale;
  int bf16;                ///< dtype of k and v tiles
  const void* const* k;    ///< per tile of 64 slots: [d, 64]
  const void* const* v;    ///< per tile of 64 slots: [64, v_stride]
  int64_t v_stride;        ///< elements
  const int64_t* visible;  ///< per row: slots 0 .. visible - 1 are seen
  const int64_t* own;  ///< per row: first and one past the last of a second range, at or beyond visible; may be empty
  const uint32_t* ancestors;  ///< per row 4 words that pick slots of the second range, or null: all of it
  float* scores;              ///< [rows, score_stride]
  int64_t score_stride;       ///< at least 64 * tiles
  float* out;                 ///< [rows, d]
};

/// Output columns of one group-norm pass over neighbouring pixels.
struct GroupNormPixels {
  const void* x;  ///< [pixels, channels]
  void* out;      ///< [pixels, channels], dtype of x
  int bf16;       ///< dtype of x
  int64_t pixels, channels;
  const float* mean;   ///< [channels]: of the channel's group
  const float* scale;  ///< [channels]: weight / standard deviation
  const float* bias;   ///< [channels]
  int swish;
};

/// What names a stream of noise: see core/noise.h.
struct NoiseKey {
  uint32_t seed[2];
  uint32_t position;
  uint32_t purpose;  ///< already shifted into its counter word
};

constexpr int kSampleBest = 8;

/// The largest perturbed logits of some ids: larger values first, lower ids first among equals.
struct SampleBest {
  int count;
  float value[kSampleBest];
  int32_t id[kSampleBest];
};

/// One token of classifier-free guidance: h = v_text + text_scale (v - v_text), then the image step, then the renorm by
/// row norms.
struct GuidedRow {
  const float *v, *v_text;
  const float* v_image;  ///< null: no image step
  float* out;
  float* squares;  ///< of v and of h; then `out` is h without the renorm. Null: renorm by them at once
  int64_t d;
  float text_scale, image_scale, renorm_min;
  int image_last;  ///< the image step follows the renorm; needs squares == null
};

struct SolverRow {
  const float* u;
  float* previous;     ///< may be null
  const float* noise;  ///< may be null
  float *x, *velocity;
  float* denoised;  ///< may be null
  int64_t d;
  float factor, time, p, q, w, r;
};

/// The one list of verbs: name, return type, arguments. The last three measure: `peak_*` run `rounds` rounds of
/// multiply-adds on registers and return the flops done (0 where bf16 dot products are missing), `read_all` sums n
/// floats, a multiple of 256.
#define HB_VERBS(X)                                                                                                   \
  X(rms_norm_row, void,                                                                                               \
    (int types, const void* x, const void* residual, const void* weight, void* out, void* sum, int64_t d, float eps)) \
  X(norm_rope_head, void,                                                                                             \
    (int types, const void* x, const void* weight, const float* rope, int64_t d, float eps, float* out))              \
  X(widen_row, void, (const void* bf16, float* out, int64_t n))                                                       \
  X(narrow_row, void, (const float* x, void* bf16, int64_t n))                                                        \
  X(linear_tile, void, (const LinearTile& tile))                                                                      \
  X(linear_epilogue, void, (const LinearEpilogue& e))                                                                 \
  X(attend, void, (const AttentionRows& a))                                                                           \
  X(softmax_row, float, (float* s, int64_t n, float scale))                                                           \
  X(layer_norm_row, void,                                                                                             \
    (int types, const void* x, const void* weight, const void* bias, void* out, int64_t d, float eps))                \
  X(channel_moments, void,                                                                                            \
    (int bf16, const void* x, int64_t pixels, int64_t channels, float* mean, float* sum, float* squares))             \
  X(group_norm_pixels, void, (const GroupNormPixels& g))                                                              \
  X(affine_row, void, (int types, const void* x, void* out, int64_t n, float scale, float shift))                     \
  X(latent_row, void,                                                                                                 \
    (int bf16, const void* mean, const void* logvar, const void* noise, void* out, int64_t n, float scale,            \
     float shift))                                                                                                    \
  X(add_rows, void, (int types, const void* x, const void* table, const void* table2, void* out, int64_t d))          \
  X(guide_row, void, (const GuidedRow& g))                                                                            \
  X(solver_row, void, (const SolverRow& s))                                                                           \
  X(normal_run, void,                                                                                                 \
    (const NoiseKey& key, int64_t first, float mean, float deviation, int bf16, void* out, int64_t n))                \
  X(chunk_max, int, (const float* x, int64_t n, float* max))                                                          \
  X(mass_above, void,                                                                                                 \
    (const float* x, int64_t n, float m, float t, float pivot, int inclusive, double* mass, int64_t* count))          \
  X(gumbel_best, void,                                                                                                \
    (const NoiseKey& key, const float* x, const float* max, int64_t first, int64_t n, float m, float t, float floor,  \
     SampleBest& best))                                                                                               \
  X(gumbel_at, void, (const NoiseKey& key, const int32_t* ids, int64_t n, float* out))                                \
  X(peak_f32, double, (int64_t rounds, float* sink))                                                                  \
  X(peak_dot, double, (int64_t rounds, float* sink))                                                                  \
  X(read_all, float, (const float* p, int64_t n))

struct Verbs {
  const char* name;  ///< as in HYPER_BAGEL_ISA
  int dot;           ///< linear_tile multiplies bf16 by bf16
  int tile_rows;     ///< x is staged in multiples of this many rows for the dot path (16 for tile registers)
  void (*enter)();   ///< prepares the calling thread, may be null
#define HB_MEMBER(name, result, arguments) result(*name) arguments;
  HB_VERBS(HB_MEMBER)
#undef HB_MEMBER
};

}  // namespace hb::cpu
