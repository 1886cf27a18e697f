// x W^T on tile registers, 32 rows x 32 columns at a time: C tiles 0 to 3, A tiles 4 and 5, B tiles 6 and 7. A packed panel is
// already what a B tile wants: 16 rows of 16 column pairs. x is staged in multiples of 16 rows and 32 columns.

template <int Rows, int Columns>
static void amx_block(const LinearTile& t, int64_t row, int panel) {
  const uint16_t* x = static_cast<const uint16_t*>(t.x) + row * t.x_stride;
  const uint16_t* w0 = static_cast<const uint16_t*>(t.panel[panel]);
  const uint16_t* w1 = Columns > 1 ? static_cast<const uint16_t*>(t.panel[panel + 1]) : nullptr;
  float* out = t.out + row * 64 + panel * 16;
  if (t.resume) {
    TILE_LOAD(0, out, 256);
    if (Columns > 1) TILE_LOAD(1, out + 16, 256);
    if (Rows > 1) TILE_LOAD(2, out + 16 * 64, 256);
    if (Rows > 1 && Columns > 1) TILE_LOAD(3, out + 16 * 64 + 16, 256);
  } else {
    TILE_ZERO(0);
    if (Columns > 1) TILE_ZERO(1);
    if (Rows > 1) TILE_ZERO(2);
    if (Rows > 1 && Columns > 1) TILE_ZERO(3);
  }
  for (int64_t k = 0; k < t.k; k += 32) {
    TILE_LOAD(4, x + k, t.x_stride * 2);
    TILE_LOAD(6, w0 + k * 16, 64);
    TILE_DOT(0, 4, 6);
    if (Columns > 1) {
      TILE_LOAD(7, w1 + k * 16, 64);
      TILE_DOT(1, 4, 7);
    }
    if (Rows > 1) {
      TILE_LOAD(5, x + 16 * t.x_stride + k, t.x_stride * 2);
      TILE_DOT(2, 5, 6);
      if (Columns > 1) TILE_DOT(3, 5, 7);
    }
  }
  TILE_STORE(0, out, 256);
  if (Columns > 1) TILE_STORE(1, out + 16, 256);
  if (Rows > 1) TILE_STORE(2, out + 16 * 64, 256);
  if (Rows > 1 && Columns > 1) TILE_STORE(3, out + 16 * 64 + 16, 256);
}

/// `t.out` has room for `t.rows` rounded up to 16.
static void linear_tile_amx(const LinearTile& t) {
  for (int panel = 0; panel < t.panels; panel += 2) {
    const int columns = t.panels - panel > 1 ? 2 : 1;
    for (int64_t row = 0; row < t.rows; row += 32) {
      const int rows = t.rows - row > 16 ? 2 : 1;
      if (rows == 2)
        columns == 2 ? amx_block<2, 2>(t, row, panel) : amx_block<2, 1>(t, row, panel);
      else
        columns == 2 ? amx_block<1, 2>(t, row, panel) : amx_block<1, 1>(t, row, panel);
    }
  }
}
#define HB_TILE_DOT linear_tile_amx
