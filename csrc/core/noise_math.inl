// From the words of Philox to numbers: the one text of these functions for every backend. Included where V (f32) and VI
// (32-bit integers) name vectors of an instruction set or plain numbers of a GPU thread, with the small operations below
// on them, and HB_NOISE says how functions are declared. All arithmetic is integer, or f32 with explicit fma and
// correctly rounded +, -, *, sqrt: the same bits everywhere.

/// Bits of `yes` where the mask is all ones, of `no` where it is zero.
HB_NOISE VI choose(VI mask, VI yes, VI no) { return ixor(no, iand(ixor(yes, no), mask)); }

/// Polynomial of log(1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1], plus e ln 2 (coefficients of the Cephes library's logf).
HB_NOISE V log_of(V f, V e) {
  V p = set1(7.0376836292e-2f);
  p = fma(p, f, set1(-1.1514610310e-1f));
  p = fma(p, f, set1(1.1676998740e-1f));
  p = fma(p, f, set1(-1.2420140846e-1f));
  p = fma(p, f, set1(1.4249322787e-1f));
  p = fma(p, f, set1(-1.6668057665e-1f));
  p = fma(p, f, set1(2.0000714765e-1f));
  p = fma(p, f, set1(-2.4999993993e-1f));
  p = fma(p, f, set1(3.3333331174e-1f));
  const V z = mul(f, f);
  V y = mul(mul(p, f), z);
  y = fma(e, set1(-2.12194440e-4f), y);
  y = fma(set1(-0.5f), z, y);
  return fma(e, set1(0.693359375f), add(f, y));
}

/// Splits a positive normal f32 into 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); both exact.
HB_NOISE void split(V x, V& f, V& e) {
  const VI bits = as_int(x);
  const VI biased = shr<23>(iadd(isub(bits, iset1(0x3f3504f3)), iset1(0x40000000)));  // e + 128
  const VI exponent = isub(biased, iset1(128));
  e = to_float(exponent);
  f = sub(as_float(isub(bits, shl<23>(exponent))), set1(1.0f));
}

/// Natural logarithm of a positive normal f32; within 1 ulp, or 6e-8 near 0.
HB_NOISE V noise_log(V x) {
  V f, e;
  split(x, f, e);
  return log_of(f, e);
}

/// E = -log U, U = (w + 0.5) 2^-32, from all 32 bits; relative error below 2.5e-7 on the whole range [2^-33, 22.9]. Above one half, 1 - U
/// comes exactly from the complement of w and goes through log(1 - v), so small E keep their precision.
HB_NOISE V exponential(VI w) {
  const VI upper = isub(iset1(0), shr<31>(w));  // all ones when U > 1/2
  const VI m = ixor(w, upper);                  // below 2^31
  const V high = to_float(shr<16>(m)), low = add(to_float(iand(m, iset1(0xffff))), set1(0.5f));
  const V v = mul(fma(high, set1(65536.0f), low), set1(2.3283064365386963e-10f));  // min(U, 1 - U), rounded once
  V f, e;
  split(v, f, e);
  const V near = set1(0.29289323f);  // 1 - v above sqrt(1/2): no halving
  const V f_up = select_lt(v, near, sub(zero(), v), sub(set1(1.0f), add(v, v)));
  const V e_up = select_lt(v, near, zero(), set1(-1.0f));
  f = as_float(choose(upper, as_int(f_up), as_int(f)));
  e = as_float(choose(upper, as_int(e_up), as_int(e)));
  return sub(zero(), log_of(f, e));
}

/// Cosine and sine of 2 pi (w + 0.5) 2^-32; absolute error below 1.5e-7, relative error below 2.5e-7 near the zeros, because the quarter turns come off in
/// integers. Polynomials on [-pi/4, pi/4] of the Cephes library's cosf and sinf.
HB_NOISE void turn(VI w, V& cosine, V& sine) {
  const VI quarter = shr<30>(iadd(w, iset1(0x20000000)));
  const V x = mul(add(to_float(isub(w, shl<30>(quarter))), set1(0.5f)), set1(1.4629180792671596e-9f));  // 2 pi 2^-32
  const V z = mul(x, x);
  V s = set1(-1.9515295891e-4f);
  s = fma(s, z, set1(8.3321608736e-3f));
  s = fma(s, z, set1(-1.6666654611e-1f));
  s = fma(mul(s, z), x, x);
  V c = set1(2.443315711809948e-5f);
  c = fma(c, z, set1(-1.388731625493765e-3f));
  c = fma(c, z, set1(4.166664568298827e-2f));
  c = fma(mul(c, z), z, fma(set1(-0.5f), z, set1(1.0f)));
  const VI swap = isub(iset1(0), iand(quarter, iset1(1)));
  const VI si = as_int(s), ci = as_int(c);
  const VI sine_sign = shl<30>(iand(quarter, iset1(2)));
  const VI cosine_sign = shl<30>(iand(iadd(quarter, iset1(1)), iset1(2)));
  sine = as_float(ixor(choose(swap, ci, si), sine_sign));
  cosine = as_float(ixor(choose(swap, si, ci), cosine_sign));
}

/// e^x for x <= 0, with explicit fma; 2 ulp; 0 below -87.33; NaN gives 0.
HB_NOISE V noise_exp(V x) {
  const V low = set1(-87.336544f);
  const V clamped = vmax(x, low);
  const VI n = to_int(mul(clamped, set1(1.44269504088896341f)));
  const V nf = to_float(n);
  V r = fma(nf, set1(-0.693359375f), clamped);
  r = fma(nf, set1(2.12194440e-4f), r);
  V p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, set1(1.0f)));
  return select_lt(low, x, mul(p, as_float(shl<23>(iadd(n, iset1(127))))), zero());
}

/// Four normal draws from the four words of a counter: Box-Muller, radius from the first word of a pair, angle from the
/// second.
HB_NOISE void normals_of(const VI (&word)[4], V (&out)[4]) {
  for (int pair = 0; pair < 4; pair += 2) {
    const V e = exponential(word[pair]), radius = vsqrt(add(e, e));
    V c, s;
    turn(word[pair + 1], c, s);
    out[pair] = mul(radius, c), out[pair + 1] = mul(radius, s);
  }
}

/// Gumbel draw of a word: -log(-log U).
HB_NOISE V gumbel_of(VI word) { return sub(zero(), noise_log(exponential(word))); }
