// Nodes of a graph in columns, from those that nobody calls to the right; in each column by the mean of their neighbours before. Pure.

const GAP = { x: 90, y: 26 }, PAD = 20;

// edges: [{from, to}] → {nodes: Map of name to {x, y}, width, height}. Cycles are cut where they close.
export function layered(edges, { width: w, height: h }) {
  const names = [...new Set(edges.flatMap((e) => [e.from, e.to]))].sort();
  const next = new Map(names.map((n) => [n, []]));
  for (const e of edges) if (e.from !== e.to) next.get(e.from).push(e.to);
  const called = new Set(edges.filter((e) => e.from !== e.to).map((e) => e.to));
  const depth = new Map(), onPath = new Set();
  const deepest = (n) => { // longest way below n
    if (depth.has(n)) return depth.get(n);
    if (onPath.has(n)) return -1;
    onPath.add(n);
    const d = Math.max(-1, ...next.get(n).map(deepest)) + 1;
    onPath.delete(n);
    depth.set(n, d);
    return d;
  };
  const order = [...names.filter((n) => !called.has(n)), ...names];
  order.forEach(deepest);
  const most = Math.max(...depth.values());
  const columns = Array.from({ length: most + 1 }, () => []);
  for (const n of names) columns[most - depth.get(n)].push(n);
  const at = new Map();
  columns.forEach((column, c) => {
    const weight = (n) => {
      const before = edges.filter((e) => e.to === n && at.has(e.from)).map((e) => at.get(e.from).row);
      return before.length ? before.reduce((a, b) => a + b, 0) / before.length : 0;
    };
    column.map((n) => [weight(n), n]).sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1)).forEach(([, n], row) => at.set(n, { row, c }));
  });
  const rows = Math.max(...columns.map((c) => c.length));
  const height = PAD * 2 + rows * h + (rows - 1) * GAP.y;
  const nodes = new Map([...at].map(([n, { row, c }]) => {
    const count = columns[c].length, top = (height - count * h - (count - 1) * GAP.y) / 2;
    return [n, { x: PAD + c * (w + GAP.x), y: top + row * (h + GAP.y) }];
  }));
  return { nodes, width: PAD * 2 + columns.length * w + (columns.length - 1) * GAP.x, height };
}
