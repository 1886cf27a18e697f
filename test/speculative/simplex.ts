// Regions of the standard simplex that planes through the origin cut out, and their exact volumes. Independent exponential
// variables, divided by their sum, are uniform on it, and comparing E_a / w_a with E_b / w_b is such a plane.

type Point = readonly number[];

/** Corners closer to a plane than this lie on it. */
const ON_PLANE = 1e-14;

/** Absolute value of a determinant, by elimination with pivots. */
function determinant(rows: readonly Point[]): number {
  const m = rows.map((row) => [...row]);
  let product = 1;
  for (let c = 0; c < m.length; c++) {
    let best = c;
    for (let r = c + 1; r < m.length; r++) {
      if (Math.abs(m[r]?.[c] as number) > Math.abs(m[best]?.[c] as number)) best = r;
    }
    const pivot = m[best] as number[];
    m[best] = m[c] as number[];
    m[c] = pivot;
    const head = pivot[c] as number;
    if (head === 0) return 0;
    product *= head;
    for (const row of m.slice(c + 1)) {
      const factor = (row[c] as number) / head;
      for (let i = c; i < row.length; i++) row[i] = (row[i] as number) - factor * (pivot[i] as number);
    }
  }
  return Math.abs(product);
}

export class Simplex {
  private constructor(
    /** Parts, each the hull of as many corners as there are coordinates. */
    private readonly parts: readonly Point[][],
    /** As a share of the whole simplex. */
    readonly volume: number,
  ) {}

  static whole(n: number): Simplex {
    return new Simplex(
      [Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)))],
      1,
    );
  }

  /** The parts where plane . x < 0 and where it is > 0. */
  cut(plane: Point): [Simplex, Simplex] {
    const sides: [Point[][], Point[][]] = [[], []];
    const open = [...this.parts];
    for (let part = open.pop(); part; part = open.pop()) {
      const side = part.map((corner) => corner.reduce((sum, x, i) => sum + x * (plane[i] as number), 0));
      const below = side.findIndex((s) => s < -ON_PLANE);
      const above = side.findIndex((s) => s > ON_PLANE);
      if (below < 0 || above < 0) {
        sides[below >= 0 ? 0 : 1].push(part);
        continue;
      }
      // halve the edge between them where it meets the plane
      const [s, t] = [side[below] as number, side[above] as number];
      const meeting = (part[below] as Point).map((x, i) => (t * x - s * (part[above]?.[i] as number)) / (t - s));
      for (const corner of [below, above]) open.push(part.map((old, i) => (i === corner ? meeting : old)));
    }
    const [a, b] = sides.map((parts) => parts.reduce((sum, part) => sum + determinant(part), 0)) as [number, number];
    return [new Simplex(sides[0], a), new Simplex(sides[1], b)];
  }
}
