// What lies over a graph of any kind: marks of events, exemplars, and what the tip says of them. x(ms) and y(exemplar) give pixels.

import { el } from "./dom.js";
import { showNumber } from "./number.js";

export const NEAR = 12; // pixels: what the pointer means

export function cssColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function drawMarks(g, marks, x, top, bottom) {
  g.save();
  g.fillStyle = g.strokeStyle = cssColor("--mark");
  for (const m of marks) {
    const px = Math.round(x(m.t)) + 0.5;
    if (m.end > m.t) {
      g.globalAlpha = 0.15;
      g.fillRect(px, top, Math.max(1, x(m.end) - px), bottom - top);
      g.globalAlpha = 1;
    }
    g.setLineDash([4, 3]);
    g.beginPath();
    g.moveTo(px, top);
    g.lineTo(px, bottom);
    g.stroke();
    g.setLineDash([]);
    g.beginPath();
    g.moveTo(px - 5, top - 4);
    g.lineTo(px + 5, top - 4);
    g.lineTo(px, top + 4);
    g.fill();
  }
  g.restore();
}

export function drawExemplars(g, exemplars, x, y) {
  g.save();
  g.fillStyle = cssColor("--exemplar");
  g.strokeStyle = cssColor("--back");
  for (const e of exemplars) {
    g.beginPath();
    g.save();
    g.translate(x(e.t), y(e));
    g.rotate(Math.PI / 4);
    g.rect(-3.5, -3.5, 7, 7);
    g.restore();
    g.fill();
    g.stroke();
  }
  g.restore();
}

export function nearest(exemplars, x, y, px, py) {
  let best = null, distance = NEAR;
  for (const e of exemplars) {
    const d = Math.hypot(x(e.t) - px, y(e) - py);
    if (d < distance) [best, distance] = [e, d];
  }
  return best;
}

export function markAt(marks, x, px) {
  return marks.find((m) => Math.abs(x(m.t) - px) < 6 || (m.end > m.t && px >= x(m.t) && px <= x(m.end)));
}

export function tipOf(mark, exemplar) {
  return [mark && el("div", { class: "marktext" }, `${mark.kind}: ${mark.text}`),
    exemplar && el("div", { class: "exemplartext" }, `exemplar ${showNumber(exemplar.value)}: press for its trace`,
      Object.entries(exemplar.labels).map(([k, v]) => el("div", { class: "dim" }, `${k}=${v}`)))];
}
