// A native histogram over time: columns of steps, cells of buckets, the darker the more. The scale of values is logarithmic; what lies
// at or below zero has the lowest row.

import { el, fill } from "./dom.js";
import { showNumber } from "./number.js";
import { drawExemplars, drawMarks, markAt, nearest, tipOf } from "./overlay.js";
import { showTick, showTime, timeTicks } from "./time.js";

const LEFT = 64, RIGHT = 12, TOP = 10, BOTTOM = 24, HEIGHT = 300;
const ZERO = "≤ 0";

// [[ms, {buckets: [[rule, low, high, count]…]}]…] of several series, added up: [{t, cells: [{low, high, count}]}].
export function columnsOf(matrix) {
  const byTime = new Map();
  for (const series of matrix)
    for (const [t, h] of series.histograms ?? []) {
      const cells = byTime.get(t) ?? new Map();
      for (const [, low, high, count] of h.buckets ?? []) {
        const key = `${low} ${high}`;
        const cell = cells.get(key) ?? { low: Number(low), high: Number(high), count: 0 };
        cell.count += Number(count);
        cells.set(key, cell);
      }
      byTime.set(t, cells);
    }
  return [...byTime].sort((a, b) => a[0] - b[0]).map(([t, cells]) => ({ t: t * 1000, cells: [...cells.values()] }));
}

export function heatmap(box, { columns, from, to, step, marks = [], exemplars = [], onZoom = () => {}, onExemplar = () => {} }) {
  const canvas = el("canvas", { role: "img", tabindex: 0, "aria-label": `Heat map of ${columns.length} steps` });
  const tip = el("div", { class: "tip", hidden: true });
  const frame = el("div", { class: "plot" }, canvas, tip);
  fill(box, frame);
  let low = Infinity, high = 0, most = 0;
  for (const c of columns)
    for (const cell of c.cells) {
      if (cell.low > 0) low = Math.min(low, cell.low);
      if (Number.isFinite(cell.high)) high = Math.max(high, cell.high);
      most = Math.max(most, cell.count);
    }
  if (!(low < high)) { low = high > 0 ? high / 10 : 0.1; high = Math.max(high, low * 10); }
  let width = 0, drag = null;
  const floor = HEIGHT - BOTTOM - 14; // below it: the row of zero
  const x = (t) => LEFT + ((t - from) / (to - from)) * (width - LEFT - RIGHT);
  const time = (px) => from + ((px - LEFT) / (width - LEFT - RIGHT)) * (to - from);
  const y = (v) => (v <= 0 ? floor + 14 : TOP + (1 - Math.log(Math.min(v, high) / low) / Math.log(high / low)) * (floor - TOP));

  const exemplarY = (e) => Math.max(TOP, Math.min(floor, y(e.value)));

  function rect(c, cell) {
    const left = x(c.t - step), right = x(c.t);
    const top = cell.high <= 0 ? floor : y(cell.high), bottom = cell.low <= 0 ? HEIGHT - BOTTOM : y(cell.low);
    return [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
  }

  function draw() {
    width = Math.max(240, frame.clientWidth || 600);
    const ratio = devicePixelRatio || 1, g = canvas.getContext("2d");
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
    canvas.style.setProperty("width", `${width}px`);
    canvas.style.setProperty("height", `${HEIGHT}px`);
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    const css = getComputedStyle(document.documentElement);
    g.fillStyle = css.getPropertyValue("--heat").trim();
    for (const c of columns)
      for (const cell of c.cells)
        if (cell.count > 0) {
          g.globalAlpha = 0.12 + 0.88 * Math.sqrt(cell.count / most);
          g.fillRect(...rect(c, cell));
        }
    g.globalAlpha = 1;
    drawMarks(g, marks, x, TOP, HEIGHT - BOTTOM);
    drawExemplars(g, exemplars, x, exemplarY);
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = css.getPropertyValue("--dim").trim();
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (let p = Math.ceil(Math.log10(low)); p <= Math.log10(high); p++) g.fillText(showNumber(10 ** p), LEFT - 6, y(10 ** p));
    g.fillText(ZERO, LEFT - 6, floor + 7);
    g.textAlign = "center";
    g.textBaseline = "top";
    const { ticks, step: distance } = timeTicks(from, to, Math.max(2, Math.floor(width / 90)));
    for (const t of ticks) g.fillText(showTick(t, distance), x(t), HEIGHT - BOTTOM + 6);
  }

  canvas.addEventListener("pointermove", (e) => {
    const r = canvas.getBoundingClientRect(), px = e.clientX - r.left, py = e.clientY - r.top;
    const c = columns.find((one) => px >= x(one.t - step) && px < x(one.t));
    const cell = c?.cells.find((one) => { const [, top, , h] = rect(c, one); return py >= top && py < top + h; });
    const exemplar = nearest(exemplars, x, exemplarY, px, py), mark = markAt(marks, x, px);
    canvas.style.setProperty("cursor", exemplar ? "pointer" : "crosshair");
    tip.hidden = !cell && !exemplar && !mark;
    if (tip.hidden) return;
    fill(tip, el("div", { class: "dim" }, showTime(time(px))), tipOf(mark, exemplar),
      cell && el("div", null, `${showNumber(cell.low)} to ${showNumber(cell.high)}: `, el("b", null, showNumber(cell.count))));
    tip.style.setProperty("left", `${px > width / 2 ? px - tip.offsetWidth - 14 : px + 14}px`);
    tip.style.setProperty("top", `${Math.max(0, py - 20)}px`);
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("pointerdown", (e) => { drag = e.offsetX; });
  canvas.addEventListener("pointerup", (e) => {
    const exemplar = nearest(exemplars, x, exemplarY, e.offsetX, e.offsetY);
    if (drag !== null && Math.abs(e.offsetX - drag) <= 5 && exemplar) onExemplar(exemplar);
    else if (drag !== null && Math.abs(e.offsetX - drag) > 5)
      onZoom(Math.round(time(Math.min(drag, e.offsetX))), Math.round(time(Math.max(drag, e.offsetX))));
    drag = null;
  });
  draw();
  const observer = new ResizeObserver(() => { if (frame.clientWidth !== width) draw(); });
  observer.observe(frame);
  return () => observer.disconnect();
}
