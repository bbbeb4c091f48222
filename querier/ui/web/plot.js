// Lines over time on a canvas.
//
//   plot(box, {series: [{name, labels, color, points: [[ms, value]…]}], from, to, step, marks, exemplars,
//              onZoom(from, to), onExemplar(exemplar), label})
//
// Points ascend by time; a distance of more than two steps, or a value that is no number, is a gap. marks: [{t, end, text, kind}];
// exemplars: [{t, value, labels}]. Where a column of pixels has many points, its first, least, greatest and last are drawn, so that a hundred
// series of thousands of points stay smooth and no peak is lost. Drag: zoom; with shift: move; double click: twice the time.

import { el, fill } from "./dom.js";
import { isSame, niceTicks, showNumber } from "./number.js";
import { cssColor, drawExemplars, drawMarks, markAt, NEAR, nearest, tipOf } from "./overlay.js";
import { showTick, showTime, timeTicks } from "./time.js";

const LEFT = 64, RIGHT = 12, TOP = 10, BOTTOM = 24, HEIGHT = 300;
const LEGEND_MAX = 200, TIP_MAX = 12;

// The first, least, greatest and last point of each column of pixels.
export function thin(points, x, width) {
  if (points.length <= 4 * width) return points;
  const out = [];
  let column = null, first, least, greatest, last;
  const flush = () => {
    if (column === null) return;
    const kept = [...new Set([first, least, greatest, last])].sort((a, b) => a[0] - b[0]);
    out.push(...kept);
  };
  for (const p of points) {
    const c = Number.isFinite(p[1]) ? Math.floor(x(p[0])) : null;
    if (c === null) {
      flush();
      column = null;
      out.push(p);
    } else if (c !== column) {
      flush();
      column = c;
      first = least = greatest = last = p;
    } else {
      if (p[1] < least[1]) least = p;
      if (p[1] > greatest[1]) greatest = p;
      last = p;
    }
  }
  flush();
  return out;
}

// The point at or just before t, of points that ascend.
function at(points, t, within) {
  let lo = 0, hi = points.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (points[mid][0] <= t) lo = mid + 1;
    else hi = mid;
  }
  const near = [points[lo - 1], points[lo]].filter(Boolean).sort((a, b) => Math.abs(a[0] - t) - Math.abs(b[0] - t))[0];
  return near && Math.abs(near[0] - t) <= within ? near : null;
}

// Exemplars do not count: of a rate or a count they have another unit. They are put in at the edge then.
function bounds(series) {
  let min = Infinity, max = -Infinity;
  for (const s of series)
    for (const [, v] of s.points)
      if (Number.isFinite(v)) {
        if (v < min) min = v;
        if (v > max) max = v;
      }
  if (min === Infinity) return [0, 1];
  if (min > 0 && min < max / 2) min = 0;
  if (isSame(min, max)) return min === 0 ? [0, 1] : [Math.min(0, min), Math.max(0, max)];
  return [min, max + (max - min) * 0.05];
}

export function plot(box, options) {
  const { series, from, to, step, marks = [], exemplars = [], onZoom = () => {}, onExemplar = () => {}, label = "Graph" } = options;
  const hidden = new Set();
  const base = el("canvas", { role: "img", "aria-label": `${label}: ${series.length} series, ${showTime(from)} to ${showTime(to)}` });
  const over = el("canvas", { class: "over", tabindex: 0, "aria-label": "Drag to zoom, shift and drag to move; arrow keys move a cursor" });
  const tip = el("div", { class: "tip", hidden: true });
  const frame = el("div", { class: "plot" }, base, over, tip);
  const legend = el("div", { class: "legend", role: "group", "aria-label": "Series" });
  fill(box, frame, legend);

  let width = 0, low = 0, high = 1, drag = null, cursor = null, pending = false;
  const height = HEIGHT;
  const x = (t) => LEFT + ((t - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (v) => TOP + (1 - (v - low) / (high - low)) * (height - TOP - BOTTOM);
  const exemplarY = (e) => Math.max(TOP, Math.min(height - BOTTOM, y(e.value)));
  const time = (px) => from + ((px - LEFT) / (width - LEFT - RIGHT)) * (to - from);
  const shown = () => series.filter((s) => !hidden.has(s));
  const gap = Math.max(step * 2.5, (to - from) / 400);

  function sized(canvas) {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.setProperty("width", `${width}px`);
    canvas.style.setProperty("height", `${height}px`);
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    return g;
  }

  function drawScale(g) {
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = cssColor("--dim");
    g.strokeStyle = cssColor("--line");
    g.lineWidth = 1;
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const v of niceTicks(low, high, 6)) {
      const py = Math.round(y(v)) + 0.5;
      g.beginPath();
      g.moveTo(LEFT, py);
      g.lineTo(width - RIGHT, py);
      g.stroke();
      g.fillText(showNumber(v), LEFT - 6, py);
    }
    g.textAlign = "center";
    g.textBaseline = "top";
    const { ticks, step: distance } = timeTicks(from, to, Math.max(2, Math.floor(width / 90)));
    for (const t of ticks) {
      const px = Math.round(x(t)) + 0.5;
      g.beginPath();
      g.moveTo(px, TOP);
      g.lineTo(px, height - BOTTOM);
      g.stroke();
      g.fillText(showTick(t, distance), px, height - BOTTOM + 6);
    }
  }

  function drawLine(g, s) {
    g.strokeStyle = g.fillStyle = s.color;
    g.beginPath();
    let last = null, alone = true;
    for (const p of thin(s.points, x, width)) {
      if (!Number.isFinite(p[1])) {
        last = null;
        continue;
      }
      const px = x(p[0]), py = y(p[1]);
      if (last !== null && p[0] - last[0] <= gap) {
        g.lineTo(px, py);
        alone = false;
      } else {
        if (last !== null && alone) g.rect(x(last[0]) - 1, y(last[1]) - 1, 2, 2);
        g.moveTo(px, py);
        alone = true;
      }
      last = p;
    }
    if (last !== null && alone) g.rect(x(last[0]) - 1, y(last[1]) - 1, 2, 2);
    g.stroke();
  }

  function draw() {
    width = Math.max(240, frame.clientWidth || 600);
    [low, high] = bounds(shown());
    const g = sized(base);
    sized(over);
    drawScale(g);
    drawMarks(g, marks, x, TOP, height - BOTTOM);
    g.lineWidth = series.length > 50 ? 1 : 1.5;
    g.lineJoin = "round";
    g.save();
    g.beginPath();
    g.rect(LEFT, TOP - 2, width - LEFT - RIGHT, height - TOP - BOTTOM + 4);
    g.clip();
    for (const s of shown()) drawLine(g, s);
    g.restore();
    drawExemplars(g, exemplars, x, exemplarY);
  }

  function tipRows(t, py) {
    const near = shown().map((s) => ({ s, p: at(s.points, t, gap) })).filter((n) => n.p && Number.isFinite(n.p[1]));
    near.sort((a, b) => Math.abs(y(a.p[1]) - py) - Math.abs(y(b.p[1]) - py));
    const rows = near.slice(0, TIP_MAX).map(({ s, p }) => el("div", { class: "tiprow" },
      el("span", { class: "dot", style: { background: s.color } }), el("b", null, showNumber(p[1])), " ", s.name));
    if (near.length > TIP_MAX) rows.push(el("div", { class: "dim" }, `and ${near.length - TIP_MAX} more`));
    return rows;
  }

  function drawOver() {
    pending = false;
    const g = sized(over);
    if (!cursor) {
      tip.hidden = true;
      return;
    }
    const t = time(cursor.x);
    if (drag && !drag.move) {
      g.fillStyle = cssColor("--select");
      g.fillRect(Math.min(drag.x, cursor.x), TOP, Math.abs(cursor.x - drag.x), height - TOP - BOTTOM);
    }
    g.strokeStyle = cssColor("--dim");
    g.beginPath();
    g.moveTo(cursor.x + 0.5, TOP);
    g.lineTo(cursor.x + 0.5, height - BOTTOM);
    g.stroke();
    const exemplar = nearest(exemplars, x, exemplarY, cursor.x, cursor.y);
    over.style.setProperty("cursor", exemplar ? "pointer" : "crosshair");
    const mark = markAt(marks, x, cursor.x);
    fill(tip, el("div", { class: "dim" }, showTime(t)),
      tipOf(mark, exemplar),
      tipRows(t, cursor.y));
    tip.hidden = false;
    const left = cursor.x > width / 2 ? cursor.x - tip.offsetWidth - 14 : cursor.x + 14;
    tip.style.setProperty("left", `${Math.max(0, left)}px`);
    tip.style.setProperty("top", `${TOP + 4}px`);
  }

  function later() {
    if (!pending) requestAnimationFrame(drawOver);
    pending = true;
  }

  function place(e) {
    const r = over.getBoundingClientRect();
    return { x: Math.max(LEFT, Math.min(width - RIGHT, e.clientX - r.left)), y: e.clientY - r.top };
  }

  over.addEventListener("pointermove", (e) => { cursor = place(e); later(); });
  over.addEventListener("pointerleave", () => { if (!drag) { cursor = null; later(); } });
  over.addEventListener("pointerdown", (e) => {
    if (e.button) return;
    cursor = place(e);
    drag = { ...cursor, move: e.shiftKey };
    over.setPointerCapture(e.pointerId);
  });
  over.addEventListener("pointercancel", () => { drag = null; });
  over.addEventListener("pointerup", (e) => {
    const d = drag, end = place(e);
    drag = null;
    if (!d) return;
    if (Math.abs(end.x - d.x) < 5) {
      const exemplar = nearest(exemplars, x, exemplarY, end.x, end.y);
      if (exemplar) onExemplar(exemplar);
    } else if (d.move) {
      const by = time(d.x) - time(end.x);
      onZoom(Math.round(from + by), Math.round(to + by));
    } else {
      onZoom(Math.round(Math.min(time(d.x), time(end.x))), Math.round(Math.max(time(d.x), time(end.x))));
    }
    later();
  });
  over.addEventListener("dblclick", () => {
    const half = (to - from) / 2;
    onZoom(Math.round(from - half), Math.round(to + half));
  });
  over.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (e.key === "Escape") cursor = null;
    else if (e.key === "Enter" && cursor) {
      const one = exemplars.find((x1) => Math.abs(x(x1.t) - cursor.x) < NEAR);
      if (one) onExemplar(one);
    } else if (by) cursor = { x: Math.max(LEFT, Math.min(width - RIGHT, (cursor?.x ?? LEFT) + by * (e.shiftKey ? 20 : 2))), y: height / 2 };
    else return;
    e.preventDefault();
    later();
  });

  function drawLegend() {
    const last = (s) => s.points.findLast?.(([, v]) => Number.isFinite(v))?.[1];
    fill(legend, series.slice(0, LEGEND_MAX).map((s) => el("button", {
      type: "button", class: hidden.has(s) ? "series hidden" : "series", "aria-pressed": String(!hidden.has(s)),
      title: "Press: this one alone, or all again; with ctrl: hide or show it",
      onclick: (e) => {
        if (e.ctrlKey || e.metaKey) hidden.has(s) ? hidden.delete(s) : hidden.add(s);
        else if (hidden.size === series.length - 1 && !hidden.has(s)) hidden.clear();
        else { hidden.clear(); for (const o of series) if (o !== s) hidden.add(o); }
        draw();
        drawLegend();
      },
    }, el("span", { class: "dot", style: { background: s.color } }), s.name, el("span", { class: "last" }, last(s) === undefined ? "" : showNumber(last(s))))),
    series.length > LEGEND_MAX && el("p", { class: "dim" }, `${series.length - LEGEND_MAX} more series are drawn but not listed`));
  }

  drawLegend();
  draw();
  const observer = new ResizeObserver(() => { if (frame.clientWidth !== width) draw(); });
  observer.observe(frame);
  return () => observer.disconnect();
}
