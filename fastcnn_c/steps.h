/* The steps a program is made of: one row a kind in FC_STEP_LIST, its parameters as one list of fields each.
 *
 * I(name) int64_t, F(name) float, V(name) int64_t[FC_MAX_DIMS]. The list declares the struct fc_<kind> and the table by which
 * _native.pyx fills it from keyword arguments. Each kind has  fc_status fc_run_<kind>(params, t, team)  in ops/.
 * Tensors t[0..] are named in the comment of each list, output first; "?" may be NULL.
 */
#ifndef FC_STEPS_H
#define FC_STEPS_H

/* Where a channels-last tensor's elements lie: (n, y, x, c) at n*image + y*row + x*pixel + c. */
#define FC_FIELDS_PLACE(I, p) I(p##_image) I(p##_row) I(p##_pixel)
/* What an epilogue does after the sum: + residual, then PRelu by slope[oc] if there is one, else fn(.; alpha, beta). Rounded sums have other operands
 * in the slope's place: with fn RoundClip, in conv, winograd, depthwise, conv_depthwise and conv_pool, a table of FC_LOOKUP numbers of 16 bits, of which
 * the result is entry (the rounded sum mod 256); with RoundTwice and a residual, in conv, winograd and conv_depthwise's last, one factor: first byte *
 * alpha + residual * factor is what is rounded then. */
#define FC_FIELDS_EPILOGUE(I, F) I(fn) F(alpha) F(beta)
/* Windows: kernel, stride, dilation, padding at top and left (negative: the window starts inside), extents in and out. */
#define FC_FIELDS_WINDOW(I) \
    I(n) I(kh) I(kw) I(sh) I(sw) I(dh) I(dw) I(pt) I(pl) I(ih) I(iw) I(oh) I(ow) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y)

/* y, x, w packed per group, bias?, residual?, slope?, affine? ; ic and oc are per group.
 * affine, with band only: min(max(x * scale + shift, lo), hi) is what is convolved, padding stays 0; scale and shift a channel, lo, hi, then 1 where
 * that is rounded to the nearest integer, else 0. Of a band made from planes all scales are one, shifts 0, and it is rounded.
 * Convolution as implicit GEMM. band: 1 copies padded input rows to scratch first, 0 reads x in place (no padding may be hit).
 * With ic 3 and x_pixel 1 the band is made from three planes of ih rows, x_row apart (ONNX's own layout).
 * nv: vectors of a tile. block: output rows (band) or tiles (in place) worked on before the next panel of w.
 * split_columns: threads share output channels instead of rows. y_gap: floats left out between one vector of y's channels and the
 * next (then y_pixel is one vector). interleaved, with band and nv 3: each of the groups is two whose ic inputs and oc/2 outputs alternate in the
 * packed w, oc = 3 vectors; x and y have one after the other. pair: panels FC_GEMM_PAIR_NV wide, of one tile a row, take two output rows, which must
 * be given the same runs of k: rows through a band whose runs are whole rows or columns of the window, or 1x1 windows all inside x.
 * halves: a last vector that is at most half full is multiplied as half a one, where the instruction set has such tiles; the same bits. */
#define FC_FIELDS_conv(I, F, V) \
    FC_FIELDS_WINDOW(I) I(groups) I(ic) I(oc) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F) \
    I(nv) I(band) I(block) I(split_columns) I(y_gap) I(interleaved) I(pair) I(halves)
/* y, x, w (packed as below), bias?, residual?, slope? ; the same of one group with weights that take w_bytes in memory: 2, bfloat16, or 1, int8 times
 * a scale an output channel. They are floats while they are multiplied. Threads share panels. Weights: panels of nv vectors of oc, nv <=
 * FC_COMPRESSED_MAX_NV, each [scale float, int8 only][`chunk` of ic][kh][kw][channel of the chunk][column]. */
#define FC_FIELDS_conv_compressed(I, F, V) FC_FIELDS_conv(I, F, V) I(w_bytes) I(chunk)
/* Same tensors and fields: the generic path, explicit im2col then blocked GEMM with K blocking. */
#define FC_FIELDS_im2col(I, F, V) FC_FIELDS_conv(I, F, V)
/* y, x, w (bfloat16, packed), bias?, residual?, slope?, factors? ; the same with x and w rounded to bfloat16, products and sums in float32. Before it
 * is rounded x is multiplied by the factors, one number an input channel (scaled 1), or goes through what they are as affine of conv (2).
 * x, y and the residual are floats, or bfloat16 (x_half, y_half, r_half); y only without slope, fn None, Relu or
 * Clip. Through a band, but for 1x1 windows that meet no padding on bfloat16. block: output rows, or pixels of a 1x1 window of stride 1 on a single
 * row. Runs of k (kernel rows where dw is 1, else taps) of an even length, where tiles take no others (fc_pgemm_odd_runs). With x_pixel 1 and
 * ic > 1 the band is made from planes, as that of conv; not for 1x1 windows. y_gap: as of conv.
 * Weights: per group panels of nv vectors of oc, [run][pair of k][channel][2], the second of a pair that is no pair 0. */
#define FC_FIELDS_conv_bf16(I, F, V) \
    FC_FIELDS_WINDOW(I) I(groups) I(ic) I(oc) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F) I(nv) I(block) I(split_columns) \
    I(x_half) I(y_half) I(r_half) I(y_gap) I(scaled)
/* y, x (uint8), w (int8, packed), offset (int32 [groups*oc]), factor (float [groups*oc]), residual? (uint8), table? [256], row sums? (int32
 * [kh][groups*oc]), largest? (int32 [1]: no |s| is larger; makes results that 16 bits hold cheaper, no different) ; convolution of 8-bit values: for each output channel s = offset + sum of x * w, exact, and f = s * factor. Where own_factor is not 0, the result is a quantised one of
 * its own first: f = round(min(max(f, own_lo), own_hi)) * own_factor. Where there is a residual: f += (residual - r_zero) * r_factor. Then y = s (to
 * FC_Q_SUMS, int32), min(max(f, lo), hi) (FC_Q_FLOATS), or round(f) + zero brought into round(lo) + zero .. round(hi) + zero and 0..255, and looked
 * up in the table (FC_Q_BYTES). f is made in float32, each operation by itself; round: to nearest even.
 * Padding is x_zero; what it and a zero point of x add is in the offset. Where the sums of the weights of each kernel row are given, or x_zero
 * is 0, kernel rows that only see padding are left out. ic and oc are per group; fields as of conv. Weights: fc_qconv_pack. turns: where bytes are made, tiles take turns (qgemm in kernels/bytes.h) if the instruction set has such a kernel and nv is its width. wide: both operands are copied to 16 bits first (qwide in kernels/bytes.h); the instruction set must have these. band: 0 x is read in place, 1 its rows are copied, 2 (one group, ic a
 * multiple of 4, every output row sees x, kernel rows in padding can be left out) only what output columns that see padding read. In place (0: 1x1, no padding) up to 3 bytes after the last pixel are read. */
#define FC_FIELDS_qconv(I, F, V) \
    FC_FIELDS_WINDOW(I) I(groups) I(ic) I(oc) FC_FIELDS_PLACE(I, r) I(nv) I(turns) I(wide) I(band) I(block) I(split_columns) I(x_zero) I(to) \
    F(own_factor) F(own_lo) F(own_hi) F(r_factor) I(r_zero) F(lo) F(hi) I(zero)
/* y, x (uint8), w (int8, fc_qdepthwise_pack), offset (int32 [c]), factor (float [c]), table? [256] ; depthwise convolution of 8-bit values: y =
 * round((offset + sum of x * w) * factor) + zero, brought into round(lo) + zero .. round(hi) + zero and 0..255, and looked up. As qconv otherwise. */
#define FC_FIELDS_qdepthwise(I, F, V) FC_FIELDS_WINDOW(I) I(c) I(x_zero) F(lo) F(hi) I(zero)
/* y, x (uint8) ; kind 0, max: of the same scale. 1, average: round(sum of (x - x_zero) over taps inside * (factor / taps counted)) + zero in 0..255,
 * the quotient and the product in float32. include_pad, pb, pr: as of pool. */
#define FC_FIELDS_qpool(I, F, V) FC_FIELDS_WINDOW(I) I(c) I(kind) I(include_pad) I(pb) I(pr) I(x_zero) I(zero) F(factor)
/* y (uint8), x (float) ; y = x / scale, the quotient rounded to float32 and then to nearest even, + zero, brought into 0..255. Rows, and planes
 * to pixels or the other way, are fast. An int8 tensor is these with zero + 128, and bit 7 of y flipped (table). */
#define FC_FIELDS_quantise(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) F(scale) I(zero)
/* y (uint8), x, factor, offset (float [c]) ; quantise of min(max(x * factor + offset, lo), hi), the product and the sum rounded once. A walk over rows
 * of c neighbours. */
#define FC_FIELDS_quantise_scaled(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(c) F(scale) I(zero) F(lo) F(hi)
/* y (float), x (uint8) ; y = (x - zero) * scale. */
#define FC_FIELDS_dequantise(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) F(scale) I(zero)
/* y, x, table [256] ; bytes: y = table[x]. */
#define FC_FIELDS_table(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides)
/* y, a, b (uint8) ; y = (a - a_zero) * a_factor + (b - b_zero) * b_factor, each product and the sum rounded to float32, then to nearest even, +
 * zero, brought into lo..hi, which lie in 0..255. */
#define FC_FIELDS_qadd(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) F(a_factor) F(b_factor) I(a_zero) I(b_zero) I(zero) I(lo) I(hi)
/* y, a, b (uint8) ; the same with y = (a - a_zero) * (b - b_zero) * a_factor. */
#define FC_FIELDS_qmul(I, F, V) FC_FIELDS_qadd(I, F, V)
/* y, a (uint8), b (float) ; the same with y = (a - a_zero) * (a < a_zero ? b : a_factor). */
#define FC_FIELDS_qprelu(I, F, V) FC_FIELDS_qadd(I, F, V)
/* y, x (uint8), scale, shift (float [c]) ; channels last, n images of h rows of w pixels: y = (x - x_zero) * scale + shift, product and sum rounded to
 * float32, then to nearest even, + zero, brought into lo..hi, which lie in 0..255. */
#define FC_FIELDS_qaffine(I, F, V) I(n) I(h) I(w) I(c) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y) I(x_zero) I(zero) I(lo) I(hi)
/* y, a, b (uint8) ; batched, as matmul: s[m][n] = sum over k of (a[m][k] - a_zero) * (b[k][n] - b_zero), exact, and f = s * factor; y = s, f within limits,
 * or bytes, as qconv has it (to, lo, hi, zero). Rows of a and y are contiguous; up to 3 bytes after a row of a are read. b_n or b_k is 1. */
#define FC_FIELDS_qmatmul(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) I(m) I(n) I(k) I(a_m) I(b_k) I(b_n) I(y_m) I(nv) I(a_zero) I(b_zero) \
    F(factor) F(lo) F(hi) I(zero) I(to)
/* y, a, b (float) ; y = a * a_factor + b * b_factor, each product and the sum rounded to float32, then to nearest even, brought into lo..hi: qadd
 * on values that are floats already, less their zero points. lo and hi are integers. */
#define FC_FIELDS_round_sum(I, F, V) I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) F(a_factor) F(b_factor) F(lo) F(hi)
/* y, x, b (float [n][c]) ; y = round(x * b * factor) brought into lo..hi, channels last: products of floats that are bytes less their zero points, b one
 * a channel of an image. x * b is exact, times the factor rounded to float32, then to the nearest integer, halves to even. */
#define FC_FIELDS_round_product(I, F, V) I(n) I(h) I(w) I(c) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y) F(factor) F(lo) F(hi)
/* y, x (float), table (FC_LOOKUP numbers of 16 bits) ; y = table[x mod 256], x integers. */
#define FC_FIELDS_lookup(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides)
/* y, x, w packed by fc_winograd_pack, bias?, residual?, slope? ; dilation 1, one group; F(m, kh) by F(m, kw) with kh = kw, stride 1 or 2, or
 * along one axis where the other is 1 (fc_winograd_covers); blocks of `tiles` tiles. The n images lie `image` apart in runs of `inner`, the runs `outer` apart (the phases of a dilated convolution). */
#define FC_FIELDS_winograd(I, F, V) \
    FC_FIELDS_WINDOW(I) I(ic) I(oc) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F) I(nv) I(m) I(tiles) \
    I(inner) I(x_outer) I(y_outer) I(r_outer)
/* y, x, runs, bias?, residual?, slope? ; transposed convolution from x, the product [p][q][group][r][s][m] of every input pixel p, q and tap
 * r, s of each of oc outputs m a group: y[i][j][group][m] = sum of those with p*sh + r*dh = i + pt that runs names for column j. runs: int64
 * [runs][4 + 2*most], each (phase, phases, columns, taps, then tap s and shift of each): column j = Q*sw + phase + e, e < phases <= sw, of the
 * first `columns` Q gets tap s + e of x column Q + shift. With groups or pixels of y that are no neighbours phases is 1. */
#define FC_FIELDS_overlap_add(I, F, V) \
    FC_FIELDS_WINDOW(I) I(groups) I(oc) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F) I(runs) I(most)
/* y, x, w [kh][ic][kw][c], bias?, residual?, slope?, lanes? ; each of y's c channels sees ic channels of x: its own, ic 1, where x_c is 0,
 * else those that the lanes say, [ic] tables as for pick, each of all c channels, into the x_c channels of x. direct: x is read where it
 * lies (sw 2, dw 1, kw 3 or 5, x_c 0), else through a ring of bands, tile_rows output rows at a time: 1, or 2 (strides and dilations 1,
 * ic 1, kw 3, 5 or 7, with kh 3 for kw 3). */
#define FC_FIELDS_depthwise(I, F, V) FC_FIELDS_WINDOW(I) I(c) I(ic) I(x_c) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F) I(direct) I(tile_rows)
/* y, x, w [c][kh][kw], bias? ; the same for dense planes: sw 1 or 2, pl >= 0, fn None, Relu or Clip. */
#define FC_FIELDS_depthwise_planes(I, F, V) \
    I(n) I(c) I(kh) I(kw) I(sh) I(sw) I(dh) I(dw) I(pt) I(pl) I(ih) I(iw) I(oh) I(ow) FC_FIELDS_EPILOGUE(I, F)
/* y, x, w [oc / FC_PLANES_ROWS][ic][kh][kw][FC_PLANES_ROWS], bias? ; dense planes of all channels: sw 1 or 2, pl >= 0, fn None, Relu or Clip.
 * block: output rows that a band serves. */
#define FC_FIELDS_conv_planes(I, F, V) \
    I(n) I(ic) I(oc) I(kh) I(kw) I(sh) I(sw) I(dh) I(dw) I(pt) I(pl) I(ih) I(iw) I(oh) I(ow) FC_FIELDS_EPILOGUE(I, F) I(block)
/* y, x, w of each layer ; up to FC_MAX_DIMS convolutions of planes one after the other, each dense (as conv_planes) or depthwise (as
 * depthwise_planes, ic = oc); entry i of a field is layer i's; x is ih x iw. w: lo, hi, a bias for each of oc, then as those steps have it.
 * block: output rows of the last at a time. */
#define FC_FIELDS_planes_chain(I, F, V) \
    I(n) I(layers) I(ih) I(iw) I(block) V(depthwise) V(ic) V(oc) V(kh) V(kw) V(sh) V(sw) V(dh) V(dw) V(pt) V(pl) V(oh) V(ow)
/* y, x, w [vector][rotation][kh][kw][lane], bias?, residual?, slope? ; c channels in groups of `width` inputs and outputs, a power of
 * two that a vector holds; whole vectors. block: output rows that a band serves. */
#define FC_FIELDS_grouped(I, F, V) FC_FIELDS_WINDOW(I) I(c) I(width) I(block) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F)
/* y, x, w packed as for conv, bias?, v [vector of c][kh][kw][V], bias?, u packed as for conv?, bias?, residual?,
 * means?, table?, table?, table or factor? (of the three epilogues), affine? (of the dense convolution, as of conv, from planes) ; a dense convolution of
 * ic to c channels (first_*), the depthwise window over its result (ih x iw), and where there is u a 1x1 convolution of that to oc channels
 * (last_*): then all c channels must be one panel of first_nv vectors. `block` output rows at a time. skip: the residual is the dense
 * convolution's own result; then c is at most a vector and the depthwise window keeps the extents. means [n][oh][c]: of the
 * columns of each row of y, where there is no u. tile_rows as of depthwise, *_pair and *_halves as pair and halves of conv. first_bf16: the
 * dense convolution is one of conv_bf16, w packed as for that, and x floats or bfloat16 (x_half). last_bf16: likewise the 1x1 convolution, and its residual (r_half). y_half: y is
 * bfloat16, of a 1x1 convolution of floats never. */
#define FC_FIELDS_conv_depthwise(I, F, V) \
    FC_FIELDS_WINDOW(I) I(ic) I(c) I(oc) FC_FIELDS_PLACE(I, r) FC_FIELDS_EPILOGUE(I, F) I(block) \
    I(first_kh) I(first_kw) I(first_sh) I(first_sw) I(first_pt) I(first_pl) I(first_ih) I(first_iw) \
    I(first_fn) F(first_alpha) F(first_beta) I(first_nv) I(first_band) I(last_fn) F(last_alpha) F(last_beta) I(last_nv) I(skip) \
    I(tile_rows) I(first_pair) I(first_halves) I(last_pair) I(last_halves) I(first_bf16) I(last_bf16) I(x_half) I(y_half) I(r_half)
/* y, x ; kind: 0 max, 1 average, 2 Lp with a whole exponent p. include_pad: the divisor counts padding up to pb and pr at the bottom and right. */
#define FC_FIELDS_pool(I, F, V) FC_FIELDS_WINDOW(I) I(c) I(kind) I(include_pad) I(pb) I(pr) F(p)
/* y, x, w packed as for conv, bias?, slope?, affine? (as of conv, from planes) ; pooling (fields as for pool) over the result, ih x iw x c, of a dense convolution of ic
 * channels (first_*, first_block as block of conv, its epilogue fn), `block` output rows at a time. first_bf16, x_half, y_half: as of
 * conv_depthwise. */
#define FC_FIELDS_conv_pool(I, F, V) \
    FC_FIELDS_pool(I, F, V) FC_FIELDS_EPILOGUE(I, F) I(ic) I(block) \
    I(first_kh) I(first_kw) I(first_sh) I(first_sw) I(first_pt) I(first_pl) I(first_ih) I(first_iw) I(first_nv) I(first_band) I(first_block) \
    I(first_pair) I(first_halves) I(first_bf16) I(x_half) I(y_half)
/* y, x, affine (as of conv, one group) ; pooling, fields as for pool, of what affine makes of x, `block` channels at a time. */
#define FC_FIELDS_affine_pool(I, F, V) FC_FIELDS_pool(I, F, V) I(block)
/* y, x ; dense planes, three spatial axes, kind 0 or 1; before >= 0, strides[2] 1 or 2. The divisor counts padding with include_pad, up to
 * `after`. */
#define FC_FIELDS_pool_planes(I, F, V) \
    I(planes) V(kernel) V(strides) V(dilations) V(before) V(after) V(in) V(out) I(kind) I(include_pad)
/* scale, shift, running mean?, running variance?, x, gamma, beta, old mean, old variance ; BatchNormalization in training, on `dtype` F32 or
 * F64: what its channels' mean and variance make of a scale and a shift, old * momentum + own * (1 - momentum) of the running ones. Of F32
 * x_pixel or x_channel is 1. */
#define FC_FIELDS_batch_norm(I, F, V) I(n) I(c) I(pixels) I(x_image) I(x_channel) I(x_pixel) I(dtype) F(epsilon) F(momentum)
/* y, x ; local response normalisation over channels. */
#define FC_FIELDS_lrn(I, F, V) I(n) I(c) I(h) I(w) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y) I(size) F(alpha) F(beta) F(bias)

/* y, a, b, bias? ; batched y[m][n] = fn(a[m][k] * b[k][n] + bias[n]), both operands computed at run time.
 * ndim batch dimensions; *_m, *_n, *_k: strides of the matrices. row_bias: bias[m] instead. */
#define FC_FIELDS_matmul(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) I(m) I(n) I(k) I(a_m) I(a_k) I(b_k) I(b_n) I(y_m) I(nv) I(row_bias) \
    FC_FIELDS_EPILOGUE(I, F)

/* Strided walks: shape[ndim] outermost first, strides in elements, 0 repeats. Plans merge dimensions; the innermost one is the kernel's.
 * y, x ; y = fn(x; alpha, beta), fp32. */
#define FC_FIELDS_unary(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) FC_FIELDS_EPILOGUE(I, F)
/* y, a, b ; y = fn(op(a, b); alpha, beta), fp32. */
#define FC_FIELDS_binary(I, F, V) I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) I(op) FC_FIELDS_EPILOGUE(I, F)
/* y, x, scale, shift ; y = fn(x * scale[i] + shift[i]), fp32; i runs with p_strides (BatchNormalization on its own). */
#define FC_FIELDS_scale_shift(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) V(p_strides) FC_FIELDS_EPILOGUE(I, F)
/* y, x ; copies elements of elem_bytes (1, 2, 4, 8): transposes, layouts, concat, slices, expand. */
#define FC_FIELDS_copy(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(elem_bytes)
/* y, x ; y = (dst)x: ONNX Cast between fc_dtype x_dtype and y_dtype. */
#define FC_FIELDS_cast(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(x_dtype) I(y_dtype)
/* y, a, b ; op of fc_typed_binary_fn on fc_dtype `dtype`; comparisons and logic write bool. */
#define FC_FIELDS_typed_binary(I, F, V) I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) I(op) I(dtype)
/* y, x ; op of fc_typed_unary_fn on `dtype` (Not, Abs, Neg, Sign, IsNaN, IsInf...). */
#define FC_FIELDS_typed_unary(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(op) I(dtype)
/* y, condition, a, b ; y = condition ? a : b, elements of elem_bytes, condition bool. */
#define FC_FIELDS_where(I, F, V) I(ndim) V(shape) V(y_strides) V(c_strides) V(a_strides) V(b_strides) I(elem_bytes)
/* y, x, value? ; y spans `shape`, x spans x_shape and starts at `before`. mode: 0 constant, 1 reflect, 2 edge, 3 wrap. */
#define FC_FIELDS_pad(I, F, V) I(ndim) V(shape) V(x_shape) V(before) V(y_strides) V(x_strides) I(mode) I(elem_bytes)
/* y, x, indices (int64 or int32, contiguous) ; y[o][j][i] = x[o][indices[j]][i]; negative indices count from the end.
 * outer and inner walks as strided dimensions. */
#define FC_FIELDS_gather(I, F, V) \
    I(outer_ndim) V(outer_shape) V(y_outer) V(x_outer) I(count) I(axis) I(y_axis) I(x_axis) \
    I(inner_ndim) V(inner_shape) V(y_inner) V(x_inner) I(elem_bytes) I(index_bytes)
/* y, x, table ; n of the `channels` of every pixel in the order of the table (fc_transpose_kernels.pick); the walk is over pixels. */
#define FC_FIELDS_pick(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(channels) I(n)
/* y, x ; over the dimensions of `reduced` (walk of its own) for every element of `shape`. kind: fc_reduce_fn.
 * wide: y is double, and may be a norm that float32 has no number for. */
#define FC_FIELDS_reduce(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(x_strides) I(reduced_ndim) V(reduced) V(reduced_strides) I(kind) I(wide)
/* y, norm double ; y = norm * factor + epsilon, NaN where that is no normal float32. */
#define FC_FIELDS_norm_divisor(I, F, V) I(count) F(factor) F(epsilon)
/* y, x, norm double, divisor (of norm_divisor, as it lies) ; y = x / (norm * factor + epsilon), 0 where that is 0. */
#define FC_FIELDS_norm_divide(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) V(n_strides) F(factor) F(epsilon)
/* y, x ; softmax over `axis` elements with strides x_axis and y_axis; log: LogSoftmax. */
#define FC_FIELDS_softmax(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(axis) I(y_axis) I(x_axis) I(log)
/* y, x, scale?, bias? ; rows of `axis` contiguous elements: (x - mean) / sqrt(var + epsilon) * scale + bias. rms: no mean.
 * plane > 0: scale and bias are `planes` values, each for `plane` elements, counted through all rows, which are dense. */
#define FC_FIELDS_layer_norm(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(axis) I(rms) F(epsilon) I(plane) I(planes)
/* y, x, scale?, bias? ; channels-last; statistics per image over h, w and `group` channels (1: InstanceNormalization). */
#define FC_FIELDS_group_norm(I, F, V) \
    I(n) I(c) I(h) I(w) I(group) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y) F(epsilon) FC_FIELDS_EPILOGUE(I, F)
/* y, x, row index [oh][taps_h] int32, row weight, column index [ow][taps_w] int32, column weight ; separable interpolation
 * of channels-last x: y = sum over taps of weights * x[row index][column index]. The row indices of one output row span
 * less than taps_h. */
#define FC_FIELDS_resize(I, F, V) \
    I(n) I(c) I(ih) I(iw) I(oh) I(ow) I(taps_h) I(taps_w) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y)

/* y [planes][oh][ow], x [planes][ih][iw], row index, row weight? as for resize, picks [taps_w][vectors of ow][V + 2] (rows as for pick, of
 * iw floats or a vector), column weight? [taps_w][vectors of ow][V] ; the same sum over dense planes. Without weights: one tap an axis. */
#define FC_FIELDS_resize_planes(I, F, V) I(planes) I(ih) I(iw) I(oh) I(ow) I(taps_h) I(taps_w)

/* y [planes][oh][ow], x [planes][ih][iw], row index [oh][2] int32, row weight, column index [taps_w][ow] int32, column weight ; integers
 * of `dtype` (int8, uint8, int32), linear: (column weight * row weight) * x summed over rows, then columns, as onnxruntime rounds it, and
 * truncated. fixed: weights are int32 with 10 bits behind the point, else float. */
#define FC_FIELDS_resize_terms(I, F, V) I(planes) I(ih) I(iw) I(oh) I(ow) I(taps_w) I(dtype) I(fixed)
/* y [planes][oh][ow][inner], x [planes][ih][iw][inner], row index [oh] int32, column index [ow] int32 ; y[i][j] = x[row[i]][column[j]]. */
#define FC_FIELDS_resize_nearest(I, F, V) I(planes) I(ih) I(iw) I(oh) I(ow) I(inner) I(elem_bytes)
/* y [outer][out][inner], x [outer][in][inner], first [out] int32, weight [out][taps] int32 ; bytes of `dtype` along one axis: y[j] = sum of
 * weight[j][k] * x[first[j] + k], with 22 bits behind the point, rounded and brought into the type's range. */
#define FC_FIELDS_resize_fixed(I, F, V) I(outer) I(in) I(out) I(inner) I(taps) I(dtype)

/* state, y?, y_h?, y_c?, z, r, extra?, lens?, h0?, c0?, parameters?, columns? ; the recurrent half of RNN (cell 0), LSTM (1), GRU (2) and GRU with
 * linear_before_reset (3): y[t] from z[t], the input projection with the biases, and the state before it. The h hidden units are
 * cut into blocks of a vector, V; H = h rounded up to blocks, zero filled. Each cell has G = 1, 4, 3, 3 gates, which it computes
 * in one part, cell 2 in two: gates 0 and 1 of all blocks, then gate 2.
 * z rows [direction][part][block][gate][V], r [direction][part][panel][h][block][gate][V] with 4, 1, 2 (then 4), 1 blocks a panel,
 * fewer in the last; extra [direction][block][3][V]: peepholes i, o, f (LSTM) or the recurrent bias (0, 0, new) (cell 3).
 * state: 4 of [directions][n][H], workspace. lens int32. reverse: direction 0 runs backwards (direction 1 always does). RNN applies fn.
 * With parameters [directions][3][2] gates go through functions[3 * direction + k], alpha and beta in parameters, instead: all of RNN
 * k 0; of GRU update and reset 0, new 1; of LSTM gates 0, new 1, the cell's way out 2. input_forget: LSTM's forget gate is 1 - input.
 * nv not 0: an LSTM whose state is quantised in each step, all rows of a direction together, as X is for dynamic_product: r and columns
 * are as w and these there. */
#define FC_FIELDS_recurrent(I, F, V) \
    I(cell) I(steps) I(n) I(h) I(directions) I(reverse) I(z_step) I(z_row) I(y_step) I(y_direction) I(y_row) \
    I(state_direction) I(state_row) I(fn) F(alpha) F(beta) F(clip) V(functions) I(input_forget) I(nv) I(zeros)
/* y [rows][columns], x, q (uint8 [rows][k, rounded up to 4], workspace), sums (int32 [rows], workspace, with zeros only), w (int8, fc_qconv_pack with
 * panels of nv vectors), columns (int32 [2 or, with zeros, 3][columns]: scale, a float, net, zero), bias?, lens? (int32 [batch]) ; rows x_row apart become unsigned bytes, x = (q - zero
 * point) * s, which cover the range of all of them and 0, and y = sum of (x - zero point) * (w - zero) * s * scale + bias. The sum is exact. net: the
 * sum of w - zero. columns and bias are whole vectors. Rows from max(lens)*batch on do not count for the range. */
#define FC_FIELDS_dynamic_product(I, F, V) I(rows) I(k) I(x_row) I(columns) I(nv) I(batch) I(zeros)

/* y, index (int64), x ; max pooling over three spatial axes and where each maximum lies: plane*in + sum of position*steps[axis].
 * *_strides: of (n, first, second, third axis), channels contiguous. */
#define FC_FIELDS_max_pool_index(I, F, V) \
    I(n) I(c) V(kernel) V(strides) V(dilations) V(before) V(in) V(out) V(steps) V(y_strides) V(i_strides) V(x_strides)
/* y, x, index (int64) ; y = 0 over `out`, then y at element `index` of the dense (n, c, inner) = x over `shape`. Strides likewise. */
#define FC_FIELDS_max_unpool(I, F, V) \
    I(n) I(c) V(shape) V(inner) V(out) V(y_strides) V(x_strides) V(i_strides)
/* y, x, grid (dense, `axes` coordinates a pixel of out) ; mode: 0 nearest, 1 linear, 2 cubic; padding: 0 zeros, 1 border,
 * 2 reflection. in and out: three axes, the first of extent 1 when `axes` is 2. Strides likewise. */
#define FC_FIELDS_grid_sample(I, F, V) \
    I(n) I(c) I(axes) V(in) V(out) I(mode) I(padding) I(align_corners) V(y_strides) V(x_strides)
/* y, x, rois [n][4] (x1, y1, x2, y2), image of each (int64) ; n regions, oh x ow bins; sampling 0: as many as a bin has pixels. */
#define FC_FIELDS_roi_align(I, F, V) \
    I(n) I(images) I(c) I(ih) I(iw) I(oh) I(ow) I(sampling) I(half_pixel) I(max) F(scale) \
    FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y)
/* y, x, rois [n][5] (image, x1, y1, x2, y2) ; the largest element of each bin. */
#define FC_FIELDS_max_roi_pool(I, F, V) \
    I(n) I(images) I(c) I(ih) I(iw) I(oh) I(ow) F(scale) FC_FIELDS_PLACE(I, x) FC_FIELDS_PLACE(I, y)
/* y [planes][image], x [planes][block][blocks] ; three spatial axes, dense. */
#define FC_FIELDS_col2im(I, F, V) I(planes) V(image) V(block) V(blocks) V(strides) V(dilations) V(before)
/* y, x, w packed per group, bias?, offset, mask? ; offset has 2 channels a tap and offset group (row, column), mask one. */
#define FC_FIELDS_deform_conv(I, F, V) \
    FC_FIELDS_WINDOW(I) I(groups) I(ic) I(oc) I(offset_groups) I(nv) FC_FIELDS_PLACE(I, o) FC_FIELDS_PLACE(I, m)
/* y, x, lengths int64 [batch] ; contiguous [time][batch] (time_first) or [batch][time] of steps of inner_bytes, the first lengths[b] of each
 * sequence in reverse order. */
#define FC_FIELDS_reverse_sequence(I, F, V) I(time) I(batch) I(time_first) I(inner_bytes)
/* y, x, w [position] packed as for conv, bias [position][oc]? ; oh*ow positions with weights of their own. */
#define FC_FIELDS_local_conv(I, F, V) FC_FIELDS_WINDOW(I) I(ic) I(oc) FC_FIELDS_EPILOGUE(I, F) I(nv)
/* y packed, x [groups][oc][k] ; weights computed at run time. */
#define FC_FIELDS_pack_weights(I, F, V) I(groups) I(oc) I(k) I(nv)
/* y, w packed as for conv, scale [k] ; y packed likewise: each input channel of a 1x1 convolution times its scale. */
#define FC_FIELDS_scale_weights(I, F, V) I(oc) I(k) I(nv)

/* y int64, x ; the index along `axis` of the largest element (smallest), the first or the last of equal ones, on `dtype`. */
#define FC_FIELDS_arg(I, F, V) I(ndim) V(shape) V(y_strides) V(x_strides) I(axis) I(x_axis) I(dtype) I(smallest) I(last)
/* values, indices int64, x ; the k <= axis largest (smallest) along `axis`, best first, of equal ones the first first. */
#define FC_FIELDS_top_k(I, F, V) \
    I(ndim) V(shape) V(v_strides) V(i_strides) V(x_strides) I(axis) I(v_axis) I(i_axis) I(x_axis) I(k) I(dtype) I(smallest)
/* y int64 [images*classes*limit][3], count, counts [images*classes], boxes [images][boxes][4], scores [images][classes][boxes],
 * largest number a class int64?, IoU threshold?, score threshold? ; rows (image, class, box), `count` of them. Boxes are two
 * corners (y, x), or with `center` (x, y, width, height). At most `limit` a class. */
#define FC_FIELDS_nms(I, F, V) I(images) I(classes) I(boxes) I(limit) I(center)
/* y int64, count, x contiguous ; y[d][k] = index along d of the k-th element that is not zero, k < count. */
#define FC_FIELDS_nonzero(I, F, V) I(ndim) V(shape) I(dtype)
/* y, count, x contiguous [outer][axis][inner], condition bool [length <= axis] ; y [outer][count][inner]: slices where it holds. */
#define FC_FIELDS_compress(I, F, V) I(outer) I(axis) I(inner) I(length) I(elem_bytes)
/* y, x, indices (int64 or int32) ; y[..., i, ...] = x[..., indices[..., i, ...], ...]; x_strides is 0 along that axis, of
 * extent `axis` and stride x_axis. Negative indices count from the end, here and below. */
#define FC_FIELDS_gather_elements(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(i_strides) V(x_strides) I(axis) I(x_axis) I(elem_bytes) I(index_bytes)
/* y, indices, updates (both u_strides) ; the other way round: y = update, or y op update (fc_typed_binary_fn; -1: none). */
#define FC_FIELDS_scatter_elements(I, F, V) \
    I(ndim) V(shape) V(u_strides) V(y_strides) I(axis) I(y_axis) I(op) I(dtype) I(index_bytes)
/* y, x, indices [tuples][depth] ; y[i] = the `slice` elements of x at i / per_batch * batch_stride + sum indices[i][j] * strides[j]. */
#define FC_FIELDS_gather_nd(I, F, V) \
    I(tuples) I(per_batch) I(batch_stride) I(depth) V(extents) V(strides) I(slice) I(op) I(dtype) I(index_bytes)
/* y, indices, updates [tuples][slice] ; the other way round, as scatter_elements. */
#define FC_FIELDS_scatter_nd(I, F, V) FC_FIELDS_gather_nd(I, F, V)
/* y [outer][depth][inner], indices int64 [outer][inner], values [2] ; values[1] where the index is d (or d - depth), else values[0]. */
#define FC_FIELDS_one_hot(I, F, V) I(outer) I(depth) I(inner) I(elem_bytes)
/* y, x ; as reduce, on `dtype`: the elements joined by op of fc_typed_binary_fn. At least one element is reduced. */
#define FC_FIELDS_typed_reduce(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(x_strides) I(reduced_ndim) V(reduced) V(reduced_strides) I(op) I(dtype)
/* y, x, start ; running sums along `axis`, or products (op of fc_typed_binary_fn), without the element itself when exclusive, which
 * then begin at *start (0 or 1), from the end when reverse. */
#define FC_FIELDS_cumsum(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(x_strides) I(axis) I(y_axis) I(x_axis) I(dtype) I(exclusive) I(reverse) I(op)
/* y, a, b ; as matmul, on `dtype`: doubles, or integers of 4 and 8 bytes, whose sums wrap. Rows of b and y are contiguous. */
#define FC_FIELDS_typed_matmul(I, F, V) \
    I(ndim) V(shape) V(y_strides) V(a_strides) V(b_strides) I(m) I(n) I(k) I(a_m) I(a_k) I(b_k) I(y_m) I(dtype)

/* X(kind, function giving scratch bytes per thread) */
#define FC_STEP_LIST(X) \
    X(conv, fc_scratch_conv) X(conv_compressed, fc_scratch_conv_compressed) X(conv_bf16, fc_scratch_conv_bf16) X(qconv, fc_scratch_qconv) X(quantise, fc_scratch_none) X(quantise_scaled, fc_scratch_none) X(dequantise, fc_scratch_none) X(table, fc_scratch_none) \
    X(qadd, fc_scratch_none) X(qdepthwise, fc_scratch_qdepthwise) X(qpool, fc_scratch_none) X(qmul, fc_scratch_none) X(qprelu, fc_scratch_none) X(round_sum, fc_scratch_none) X(round_product, fc_scratch_none) X(lookup, fc_scratch_none) X(qaffine, fc_scratch_none) X(qmatmul, fc_scratch_qmatmul) X(im2col, fc_scratch_im2col) X(winograd, fc_scratch_winograd) X(overlap_add, fc_scratch_overlap_add) \
    X(depthwise, fc_scratch_depthwise) X(depthwise_planes, fc_scratch_depthwise_planes) X(conv_planes, fc_scratch_conv_planes) X(planes_chain, fc_scratch_planes_chain) X(grouped, fc_scratch_grouped) X(conv_depthwise, fc_scratch_conv_depthwise) X(pool, fc_scratch_none) X(conv_pool, fc_scratch_conv_pool) X(affine_pool, fc_scratch_affine_pool) X(pool_planes, fc_scratch_pool_planes) X(lrn, fc_scratch_lrn) X(matmul, fc_scratch_matmul) \
    X(unary, fc_scratch_none) X(binary, fc_scratch_none) X(scale_shift, fc_scratch_none) X(copy, fc_scratch_none) \
    X(cast, fc_scratch_none) X(typed_binary, fc_scratch_none) X(typed_unary, fc_scratch_none) X(where, fc_scratch_none) \
    X(pad, fc_scratch_none) X(gather, fc_scratch_none) X(reduce, fc_scratch_reduce) X(norm_divisor, fc_scratch_none) X(norm_divide, fc_scratch_none) X(softmax, fc_scratch_softmax) \
    X(layer_norm, fc_scratch_none) X(group_norm, fc_scratch_group_norm) X(batch_norm, fc_scratch_batch_norm) X(resize, fc_scratch_resize) X(resize_planes, fc_scratch_resize_planes) \
    X(resize_nearest, fc_scratch_none) X(resize_terms, fc_scratch_resize_terms) X(resize_fixed, fc_scratch_resize_fixed) \
    X(max_pool_index, fc_scratch_max_pool_index) X(max_unpool, fc_scratch_max_unpool) X(grid_sample, fc_scratch_grid_sample) \
    X(roi_align, fc_scratch_roi_align) X(max_roi_pool, fc_scratch_none) X(col2im, fc_scratch_none) \
    X(deform_conv, fc_scratch_deform_conv) X(local_conv, fc_scratch_local_conv) X(pack_weights, fc_scratch_none) X(scale_weights, fc_scratch_none) \
    X(recurrent, fc_scratch_recurrent) X(dynamic_product, fc_scratch_dynamic_product) X(arg, fc_scratch_none) X(top_k, fc_scratch_top_k) X(nms, fc_scratch_nms) \
    X(nonzero, fc_scratch_none) X(compress, fc_scratch_none) X(gather_elements, fc_scratch_none) X(scatter_elements, fc_scratch_none) \
    X(gather_nd, fc_scratch_none) X(scatter_nd, fc_scratch_none) X(one_hot, fc_scratch_none) X(typed_reduce, fc_scratch_none) \
    X(cumsum, fc_scratch_none) X(pick, fc_scratch_none) X(typed_matmul, fc_scratch_none) X(reverse_sequence, fc_scratch_none)

#define FC_DECLARE_I(name) int64_t name;
#define FC_DECLARE_F(name) float name;
#define FC_DECLARE_V(name) int64_t name[FC_MAX_DIMS];
#define FC_DECLARE_STEP(kind, scratch) \
    typedef struct fc_##kind { FC_FIELDS_##kind(FC_DECLARE_I, FC_DECLARE_F, FC_DECLARE_V) } fc_##kind;
FC_STEP_LIST(FC_DECLARE_STEP)

#endif
