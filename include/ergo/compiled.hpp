// ergo compiled once: what the archive ergo::compiled holds of this library. ergo is used as headers alone; a program
// that also links the archive (it defines ERGO_COMPILED) finds the instances below there instead of compiling them
// again, whole trees of loops and derivative rules with each. What is not listed is compiled where it is used, as ever.
//
// Each source of src/ is this header with ERGO_COMPILED_PART, lists for one type. Who lists a template writes its
// arguments as its users deduce them.
#pragma once

#include "ergo/autograd/inner_product.hpp"
#include "ergo/autograd/map.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/attention.hpp"
#include "ergo/ops/average_pooling.hpp"
#include "ergo/ops/batch_norm.hpp"
#include "ergo/ops/compaction.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/conv1d.hpp"
#include "ergo/ops/conv_transpose.hpp"
#include "ergo/ops/convolution.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/cumulative.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/einsum.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/grid_sample.hpp"
#include "ergo/ops/group_norm.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/logic.hpp"
#include "ergo/ops/loss.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/order_statistics.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/pooling.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/random_integer.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/repetition.hpp"
#include "ergo/ops/rms_norm.hpp"
#include "ergo/ops/rotary.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/scan.hpp"
#include "ergo/ops/scattering.hpp"
#include "ergo/ops/searching.hpp"
#include "ergo/ops/segment.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/sliding_window.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/sorting.hpp"
#include "ergo/ops/statistics.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "ergo/ops/upsampling.hpp"
#include "ergo/linalg/decomposition.hpp"
#include "ergo/linalg/krylov_basis.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/ema.hpp"
#include "ergo/optim/sgd.hpp"

namespace ergo::inline ERGO_BUILD {

#define ERGO_POINTWISE(F, ...) ERGO_INSTANCE(struct detail::Pointwise<detail::F, __VA_ARGS__>)
#define ERGO_LINEAR(Y, X, ...) ERGO_TABLE(LinearOp<__VA_ARGS__, Y, X>)
#define ERGO_TABLE(...) ERGO_INSTANCE(struct detail::OpTable<detail::__VA_ARGS__>)
#define ERGO_INDEXING(F) ERGO_TABLE(LinearOp<detail::F, AnyTensor, AnyTensor, AnyTensor>)
#define ERGO_MOVEMENT(...) ERGO_LINEAR(AnyTensor, AnyTensor, detail::__VA_ARGS__)

// What derivatives of every type add up with.
#define ERGO_COTANGENTS(T)                \
  ERGO_POINTWISE(Add, T, T, T)            \
  ERGO_POINTWISE(Multiply, T, T, T)       \
  ERGO_POINTWISE(MultiplyAdd, T, T, T, T) \
  ERGO_POINTWISE(Negate, T, T)

#define ERGO_SMOOTH(T)               \
  ERGO_POINTWISE(Clip, T, T, T, T)   \
  ERGO_POINTWISE(Cos, T, T)          \
  ERGO_POINTWISE(Cosh, T, T)         \
  ERGO_POINTWISE(Elu, T, T, T)       \
  ERGO_POINTWISE(Erf, T, T)          \
  ERGO_POINTWISE(Erfc, T, T)         \
  ERGO_POINTWISE(Exp, T, T)          \
  ERGO_POINTWISE(Expm1, T, T)        \
  ERGO_POINTWISE(Gelu, T, T)         \
  ERGO_POINTWISE(GeluTanh, T, T)     \
  ERGO_POINTWISE(LeakyRelu, T, T, T) \
  ERGO_POINTWISE(Log, T, T)          \
  ERGO_POINTWISE(Log1p, T, T)        \
  ERGO_POINTWISE(LogAddExp, T, T, T) \
  ERGO_POINTWISE(LogSigmoid, T, T)   \
  ERGO_POINTWISE(Pow, T, T, T)       \
  ERGO_POINTWISE(Relu, T, T)         \
  ERGO_POINTWISE(Rsqrt, T, T)        \
  ERGO_POINTWISE(Sigmoid, T, T)      \
  ERGO_POINTWISE(Silu, T, T)         \
  ERGO_POINTWISE(Sin, T, T)          \
  ERGO_POINTWISE(Sinh, T, T)         \
  ERGO_POINTWISE(Softplus, T, T)     \
  ERGO_POINTWISE(Tan, T, T)          \
  ERGO_POINTWISE(Tanh, T, T)

#define ERGO_ARITHMETIC(T)                 \
  ERGO_POINTWISE(Abs, T, T)                \
  ERGO_POINTWISE(Ceil, T, T)               \
  ERGO_POINTWISE(Divide, T, T, T)          \
  ERGO_POINTWISE(Equal, bool, T, T)        \
  ERGO_POINTWISE(Floor, T, T)              \
  ERGO_POINTWISE(Greater, bool, T, T)      \
  ERGO_POINTWISE(GreaterEqual, bool, T, T) \
  ERGO_POINTWISE(Less, bool, T, T)         \
  ERGO_POINTWISE(LessEqual, bool, T, T)    \
  ERGO_POINTWISE(Maximum, T, T, T)         \
  ERGO_POINTWISE(Minimum, T, T, T)         \
  ERGO_POINTWISE(NotEqual, bool, T, T)     \
  ERGO_POINTWISE(Reciprocal, T, T)         \
  ERGO_POINTWISE(Round, T, T)              \
  ERGO_POINTWISE(Sign, T, T)               \
  ERGO_POINTWISE(Sqrt, T, T)               \
  ERGO_POINTWISE(Square, T, T)             \
  ERGO_POINTWISE(Subtract, T, T, T)        \
  ERGO_POINTWISE(Where, T, bool, T, T)

#define ERGO_CASTS(T)                 \
  ERGO_TABLE(CastOp<T, bfloat16>)     \
  ERGO_TABLE(CastOp<bfloat16, T>)     \
  ERGO_TABLE(CastOp<T, bool>)         \
  ERGO_TABLE(CastOp<bool, T>)         \
  ERGO_TABLE(CastOp<T, half>)         \
  ERGO_TABLE(CastOp<half, T>)         \
  ERGO_TABLE(CastOp<T, int>)          \
  ERGO_TABLE(CastOp<int, T>)          \
  ERGO_TABLE(CastOp<T, std::int64_t>) \
  ERGO_TABLE(CastOp<std::int64_t, T>)

#define ERGO_OPTIMISERS(T)                                                                                             \
  ERGO_INSTANCE(                                                                                                       \
      void cpu::update_kernel<cpu::AdamRule, T>(const void*, const cpu::UpdateRun&, std::int64_t, std::int64_t))       \
  ERGO_INSTANCE(                                                                                                       \
      void cpu::update_kernel<cpu::AverageRule, T>(const void*, const cpu::UpdateRun&, std::int64_t, std::int64_t))    \
  ERGO_INSTANCE(                                                                                                       \
      void cpu::update_kernel<cpu::SgdRule<false>, T>(const void*, const cpu::UpdateRun&, std::int64_t, std::int64_t)) \
  ERGO_INSTANCE(                                                                                                       \
      void cpu::update_kernel<cpu::SgdRule<true>, T>(const void*, const cpu::UpdateRun&, std::int64_t, std::int64_t))

#define ERGO_OPERATIONS(T)                                                                                             \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Cumsum<T>)                                                                 \
  ERGO_LINEAR(Tensor<T>, Tensor<std::int64_t>, detail::DrawOp<T, cpu::NormalDraw<T>>)                                  \
  ERGO_LINEAR(Tensor<T>, Tensor<std::int64_t>, detail::DrawOp<T, cpu::SignDraw<T>>)                                    \
  ERGO_LINEAR(Tensor<T>, Tensor<std::int64_t>, detail::DrawOp<T, cpu::UniformDraw<T, detail::uniform_bits<T>>>)        \
  ERGO_TABLE(BilinearOp<detail::Dot, T>)                                                                               \
  ERGO_TABLE(FusedOp<detail::Product, Tensor<T>, Tensor<T>>)                                                           \
  ERGO_INSTANCE(class detail::KrylovBasis<T>)                                                                          \
  ERGO_INSTANCE(Tensor<T> conv2d(const Tensor<T>&, const Tensor<T>&, Conv2dOptions))                                   \
  ERGO_INSTANCE(Tensor<T> cross_entropy(const Tensor<T>&, const Tensor<int>&, const CrossEntropyOptions&))             \
  ERGO_INSTANCE(Tensor<T> cross_entropy(const Tensor<T>&, const Tensor<std::int64_t>&, const CrossEntropyOptions&))    \
  ERGO_INSTANCE(Tensor<T> cross_entropy(const Tensor<T>&, const Tensor<T>&, const CrossEntropyOptions&))               \
  ERGO_INSTANCE(Tensor<float> accuracy(const Tensor<T>&, const Tensor<int>&, const AccuracyOptions&))                  \
  ERGO_INSTANCE(Tensor<T> dropout(const Key&, const Tensor<T>&, double))                                               \
  ERGO_INSTANCE(Tensor<T> detail::run_einsum(const std::string&, detail::Args, int))                                   \
  ERGO_INSTANCE(Tensor<T> detail::extremum_over<cpu::MaxOf>(const AnyTensor&, const detail::Over&))                    \
  ERGO_INSTANCE(Tensor<T> detail::extremum_over<cpu::MinOf>(const AnyTensor&, const detail::Over&))                    \
  ERGO_INSTANCE(Tensor<int> detail::arg_over<cpu::MaxOf>(const char*, const Tensor<T>&, const detail::Over&))          \
  ERGO_INSTANCE(Tensor<std::int64_t> detail::arg_over<cpu::MaxOf>(const char*, const Tensor<T>&, const detail::Over&)) \
  ERGO_INSTANCE(Tensor<int> detail::arg_over<cpu::MinOf>(const char*, const Tensor<T>&, const detail::Over&))          \
  ERGO_INSTANCE(Tensor<std::int64_t> detail::arg_over<cpu::MinOf>(const char*, const Tensor<T>&, const detail::Over&)) \
  ERGO_INSTANCE(Tensor<T> layer_norm(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const LayerNormOptions&))   \
  ERGO_INSTANCE(Tensor<T> linear(const Tensor<T>&, const Tensor<T>&))                                                  \
  ERGO_INSTANCE(Tensor<T> linear(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&))                                \
  ERGO_INSTANCE(Tensor<T> matmul(const Tensor<T>&, const Tensor<T>&))                                                  \
  ERGO_INSTANCE(Tensor<T> max_pool2d(const Tensor<T>&, Spatial, PoolOptions))                                          \
  ERGO_INSTANCE(Tensor<T> mse(const Tensor<T>&, const Tensor<T>&, const MseOptions&))                                  \
  ERGO_INSTANCE(Tensor<T> detail::norm_over(const Tensor<T>&, const detail::Over&, const NormOptions&))                \
  ERGO_INSTANCE(Tensor<T> detail::variance_over(const Tensor<T>&, const detail::Over&, const VarianceOptions&))        \
  ERGO_INSTANCE(Tensor<T> detail::logsumexp_over(const Tensor<T>&, const detail::Over&))                               \
  ERGO_INSTANCE(Tensor<T> detail::along<detail::Softmax>(const Tensor<T>&, std::int64_t, const SoftmaxOptions&))       \
  ERGO_INSTANCE(Tensor<T> detail::along<detail::LogSoftmax>(const Tensor<T>&, std::int64_t, const SoftmaxOptions&))

#define ERGO_LAYERS(T)                                                                                                 \
  ERGO_TABLE(BilinearOp<detail::Conv2d, T>)                                                                            \
  ERGO_TABLE(BilinearOp<detail::Conv2dInputGradient, T>)                                                               \
  ERGO_TABLE(BilinearOp<detail::Conv2dWeightGradient, T>)                                                              \
  ERGO_TABLE(FusedOp<detail::Affine, Tensor<T>, Tensor<T>, Tensor<T>, Tensor<T>>)                                      \
  ERGO_TABLE(FusedOp<detail::GridSample, Tensor<T>, Tensor<T>, Tensor<T>>)                                             \
  ERGO_TABLE(FusedOp<detail::GridScatter, Tensor<T>, Tensor<T>, Tensor<T>>)                                            \
  ERGO_TABLE(FusedOp<detail::GridSlope, Tensor<T>, Tensor<T>, Tensor<T>, Tensor<T>>)                                   \
  ERGO_TABLE(FusedOp<detail::Softmax, Tensor<T>, Tensor<T>>)                                                           \
  ERGO_TABLE(FusedOp<detail::SoftmaxVjp, Tensor<T>, Tensor<T>, Tensor<T>>)                                             \
  ERGO_TABLE(LinearOp<detail::Rotary, Tensor<T>, Tensor<T>, Tensor<int>>)                                              \
  ERGO_TABLE(LinearOp<detail::Rotary, Tensor<T>, Tensor<T>, Tensor<std::int64_t>>)                                     \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::windows, false>)                                 \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::windows, true>)                                  \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::adaptive, false>)                                \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::adaptive, true>)                                 \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::nearest, false>)                                 \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::nearest, true>)                                  \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::linear, false>)                                  \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::linear, true>)                                   \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::cubic, false>)                                   \
  ERGO_LINEAR(Tensor<T>, Tensor<T>, detail::Resample<cpu::Resampling::cubic, true>)                                    \
  ERGO_INSTANCE(Tensor<T> attention(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const AttentionOptions<T>&)) \
  ERGO_INSTANCE(Tensor<T> attention_pattern(const Tensor<T>&, const Tensor<T>&, const AttentionOptions<T>&))           \
  ERGO_INSTANCE(Tensor<T> attention_with(const Tensor<T>&, const Tensor<T>&))                                          \
  ERGO_INSTANCE(                                                                                                       \
      BatchNormResult<T> batch_norm(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const BatchNormOptions&))    \
  ERGO_INSTANCE(Tensor<T> batch_norm(const Tensor<T>&, const Tensor<T>&, const Tensor<T>&, const Tensor<T>&,           \
                                     const Tensor<T>&, const BatchNormOptions&))                                       \
  ERGO_INSTANCE(Tensor<T> group_norm(const Tensor<T>&, std::int64_t, const Tensor<T>&, const Tensor<T>&,               \
                                     const GroupNormOptions&))                                                         \
  ERGO_INSTANCE(Tensor<T> rms_norm(const Tensor<T>&, const Tensor<T>&, const RmsNormOptions&))

#define ERGO_SEQUENCES(T)                                                            \
  ERGO_TABLE(LinearOp<detail::CountBetween<int>, Tensor<int>, Tensor<T>, Tensor<T>>) \
  ERGO_TABLE(FusedOp<detail::ProductCotangent, Tensor<T>, Tensor<T>, Tensor<T>>)     \
  ERGO_TABLE(FusedOp<detail::ProductSlope, Tensor<T>, Tensor<T>, Tensor<T>>)         \
  ERGO_TABLE(ScanOp<detail::RunningExtremum<cpu::MaxOf, T, false>>)                  \
  ERGO_TABLE(ScanOp<detail::RunningExtremum<cpu::MinOf, T, false>>)                  \
  ERGO_TABLE(ScanOp<detail::RunningLogSumExp<T, cpu::LogSumExp::value>>)             \
  ERGO_TABLE(ScanOp<detail::RunningPlace<cpu::MaxOf, T>>)                            \
  ERGO_TABLE(ScanOp<detail::RunningPlace<cpu::MinOf, T>>)                            \
  ERGO_TABLE(ScanOp<detail::RunningProduct<T>>)                                      \
  ERGO_TABLE(ScatterExtremumOp<false, T, int>)                                       \
  ERGO_TABLE(ScatterExtremumOp<true, T, int>)                                        \
  ERGO_TABLE(SegmentExtremumOp<cpu::MaxOf, T, int>)                                  \
  ERGO_TABLE(SegmentExtremumOp<cpu::MinOf, T, int>)

#define ERGO_MOVEMENTS                                                                                       \
  ERGO_MOVEMENT(AddWindows)                                                                                  \
  ERGO_MOVEMENT(Argsort)                                                                                     \
  ERGO_MOVEMENT(BroadcastTo)                                                                                 \
  ERGO_MOVEMENT(Copies)                                                                                      \
  ERGO_MOVEMENT(Crop)                                                                                        \
  ERGO_MOVEMENT(Diagonal)                                                                                    \
  ERGO_MOVEMENT(EmbedDiagonal)                                                                               \
  ERGO_MOVEMENT(Flip)                                                                                        \
  ERGO_MOVEMENT(OneHot)                                                                                      \
  ERGO_MOVEMENT(PadZeros)                                                                                    \
  ERGO_MOVEMENT(Permute)                                                                                     \
  ERGO_MOVEMENT(Ranks)                                                                                       \
  ERGO_MOVEMENT(Reshape)                                                                                     \
  ERGO_MOVEMENT(Roll)                                                                                        \
  ERGO_MOVEMENT(Spread<false>)                                                                               \
  ERGO_MOVEMENT(Spread<true>)                                                                                \
  ERGO_MOVEMENT(StopGradient)                                                                                \
  ERGO_MOVEMENT(Sum<false>)                                                                                  \
  ERGO_MOVEMENT(Sum<true>)                                                                                   \
  ERGO_MOVEMENT(SumCopies)                                                                                   \
  ERGO_MOVEMENT(SumTo)                                                                                       \
  ERGO_MOVEMENT(Topk)                                                                                        \
  ERGO_MOVEMENT(Triangle)                                                                                    \
  ERGO_MOVEMENT(Window)                                                                                      \
  ERGO_INDEXING(SearchSorted)                                                                                \
  ERGO_INDEXING(Take)                                                                                        \
  ERGO_INDEXING(TakeAlong)                                                                                   \
  ERGO_INDEXING(TakeWinners)                                                                                 \
  ERGO_TABLE(ConcatenateOp)                                                                                  \
  ERGO_TABLE(ContiguousOp)                                                                                   \
  ERGO_TABLE(Decomposition)                                                                                  \
  ERGO_TABLE(EmbedOp)                                                                                        \
  ERGO_TABLE(MapOp)                                                                                          \
  ERGO_TABLE(MoveOp)                                                                                         \
  ERGO_TABLE(PadOp)                                                                                          \
  ERGO_TABLE(PartialOp)                                                                                      \
  ERGO_TABLE(PointwiseOp)                                                                                    \
  ERGO_TABLE(RecurrenceOp<double>)                                                                           \
  ERGO_TABLE(RequireOp)                                                                                      \
  ERGO_TABLE(SliceOp)                                                                                        \
  ERGO_TABLE(ScanOp<detail::RunningLogSumExp<double, cpu::LogSumExp::decay>>)                                \
  ERGO_TABLE(ScanOp<detail::RunningLogSumExp<double, cpu::LogSumExp::weight>>)                               \
  ERGO_TABLE(UpdateOp<detail::ScatterAdd>)                                                                   \
  ERGO_TABLE(UpdateOp<detail::ScatterAlong>)                                                                 \
  ERGO_TABLE(UpdateOp<detail::ScatterSet>)                                                                   \
  ERGO_TABLE(UpdateOp<detail::SetSlice>)                                                                     \
  ERGO_COTANGENTS(bfloat16)                                                                                  \
  ERGO_COTANGENTS(half)                                                                                      \
  ERGO_LINEAR(Tensor<int>, Tensor<int>, detail::CountIds<int>)                                               \
  ERGO_LINEAR(Tensor<std::int64_t>, Tensor<int>, detail::CountIds<std::int64_t>)                             \
  ERGO_LINEAR(Tensor<int>, Tensor<std::int64_t>, detail::Permutation<int>)                                   \
  ERGO_LINEAR(Tensor<int>, Tensor<std::int64_t>, detail::RandomIntegers<int>)                                \
  ERGO_LINEAR(Tensor<std::int64_t>, Tensor<std::int64_t>, detail::Permutation<std::int64_t>)                 \
  ERGO_LINEAR(Tensor<std::int64_t>, Tensor<std::int64_t>, detail::RandomIntegers<std::int64_t>)              \
  ERGO_TABLE(LinearOp<detail::DeriveKeys, Tensor<std::int64_t>, Tensor<std::int64_t>, Tensor<std::int64_t>>) \
  ERGO_TABLE(CastOp<double, float>)                                                                          \
  ERGO_TABLE(CastOp<float, double>)                                                                          \
  ERGO_TABLE(CastOp<int, std::int64_t>)                                                                      \
  ERGO_TABLE(CastOp<std::int64_t, int>)                                                                      \
  ERGO_INSTANCE(void cpu::update_runs(const cpu::AdamRule&, const std::vector<cpu::UpdateRun>&))             \
  ERGO_INSTANCE(void cpu::update_runs(const cpu::AverageRule&, const std::vector<cpu::UpdateRun>&))          \
  ERGO_INSTANCE(void cpu::update_runs(const cpu::SgdRule<false>&, const std::vector<cpu::UpdateRun>&))       \
  ERGO_INSTANCE(void cpu::update_runs(const cpu::SgdRule<true>&, const std::vector<cpu::UpdateRun>&))

#define ERGO_INSTANCE(...) extern template __VA_ARGS__;
ERGO_MOVEMENTS
ERGO_COTANGENTS(float)
ERGO_COTANGENTS(double)
ERGO_SMOOTH(float)
ERGO_SMOOTH(double)
ERGO_ARITHMETIC(float)
ERGO_ARITHMETIC(double)
ERGO_CASTS(float)
ERGO_CASTS(double)
ERGO_OPTIMISERS(float)
ERGO_OPTIMISERS(double)
ERGO_OPERATIONS(float)
ERGO_OPERATIONS(double)
ERGO_LAYERS(float)
ERGO_LAYERS(double)
ERGO_SEQUENCES(float)
ERGO_SEQUENCES(double)
#undef ERGO_INSTANCE

#if defined(ERGO_COMPILED_PART)
#define ERGO_INSTANCE(...) template __VA_ARGS__;
ERGO_COMPILED_PART
#undef ERGO_INSTANCE
#endif

#undef ERGO_POINTWISE
#undef ERGO_LINEAR
#undef ERGO_TABLE
#undef ERGO_INDEXING
#undef ERGO_MOVEMENT
#undef ERGO_COTANGENTS
#undef ERGO_SMOOTH
#undef ERGO_ARITHMETIC
#undef ERGO_CASTS
#undef ERGO_OPTIMISERS
#undef ERGO_OPERATIONS
#undef ERGO_LAYERS
#undef ERGO_SEQUENCES
#undef ERGO_MOVEMENTS

}  // namespace ergo::inline ERGO_BUILD
