// Bars of spans below one another, of which only those in sight are in the document, so that a trace of a hundred thousand scrolls.

import { button, el, fill } from "./dom.js";
import { colorOf } from "./number.js";
import { showDuration } from "./time.js";

const ROW = 26, MORE = 10, MAX_HEIGHT = 560, INDENT = 12, INDENT_MAX = 20, TICKS = 4;

export function waterfall(box, { tree, rows, path, onSelect }) {
  const closed = new Set(), place = new Map(); // of each span: [its place, of how many] below its parent
  for (const siblings of [tree.roots, ...tree.spans.map((s) => s.children)]) siblings.forEach((s, i) => place.set(s, [i + 1, siblings.length]));
  let list = rows(tree.roots, closed), selected = null;
  const inner = el("div", { class: "wfrows" });
  const scroller = el("div", { class: "wfscroll", role: "tree", tabindex: 0, "aria-label": "Spans" }, inner);
  const head = el("div", { class: "wfhead" }, el("span", { class: "wfname" }, "service and name"), el("span", { class: "wftime" },
    Array.from({ length: TICKS + 1 }, (_, i) => el("span", { style: { left: `${(i / TICKS) * 100}%` } }, showDuration((tree.duration * i) / TICKS)))));
  fill(box, el("div", { class: "waterfall" }, head, scroller));
  const percent = (t) => `${tree.duration ? (t / tree.duration) * 100 : 0}%`;
  const wide = (from, to) => `${tree.duration ? Math.max(0.15, ((to - from) / tree.duration) * 100) : 100}%`;

  function bar(s) {
    const color = colorOf(s.service);
    return el("span", { class: "wftime" },
      el("span", { class: "bar", style: { left: percent(s.start), width: wide(s.start, s.end), background: color } }),
      (path.get(s) ?? []).map(([from, to]) => el("span", { class: "critical", style: { left: percent(from), width: wide(from, to) } })),
      s.events.slice(0, 50).map((e) => el("span", { class: "eventmark", style: { left: percent(e.at) }, title: e.name })),
      duration(s));
  }

  // Behind the bar; where there is no room, before it, or at its end.
  function duration(s) {
    const text = showDuration(s.end - s.start), left = tree.duration ? s.start / tree.duration : 0, right = tree.duration ? s.end / tree.duration : 1;
    if (right < 0.88) return el("span", { class: "wfduration", style: { left: percent(s.end) } }, text);
    return left > 0.12 ? el("span", { class: "wfduration", style: { right: `${(1 - left) * 100}%` } }, text)
      : el("span", { class: "wfduration inside", style: { right: `${(1 - right) * 100}%` } }, text);
  }

  function row(s, i) {
    const toggle = s.children.length ? button(closed.has(s) ? "▸" : "▾", (e) => { e.stopPropagation(); flip(s); }, { class: "quiet", tabindex: -1, "aria-label": closed.has(s) ? "Open" : "Close" }) : el("span", { class: "notoggle" });
    return el("div", {
      class: `wfrow${s === selected ? " selected" : ""}${s.isError ? " error" : ""}`, role: "treeitem", "aria-level": s.depth + 1, "aria-selected": String(s === selected), id: `span${i}`, "aria-posinset": place.get(s)[0], "aria-setsize": place.get(s)[1],
      "aria-expanded": s.children.length ? String(!closed.has(s)) : null, "aria-label": `${s.service} ${s.name}, ${showDuration(s.end - s.start)}${s.isError ? ", error" : ""}`,
      style: { top: `${i * ROW}px` }, onclick: () => select(s),
    }, el("span", { class: "wfname", style: { "padding-left": `${Math.min(s.depth, INDENT_MAX) * INDENT}px` } }, toggle, el("span", { class: "dot", style: { background: colorOf(s.service) } }),
      s.isError && el("span", { class: "bad", "aria-hidden": "true" }, "● "), el("b", null, s.service), ` ${s.name}`), bar(s));
  }

  function draw() {
    inner.style.setProperty("height", `${list.length * ROW}px`);
    scroller.style.setProperty("height", `${Math.min(MAX_HEIGHT, list.length * ROW + 2)}px`);
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - MORE);
    const last = Math.min(list.length, Math.ceil((scroller.scrollTop + MAX_HEIGHT) / ROW) + MORE);
    fill(inner, list.slice(first, last).map((s, i) => row(s, first + i)));
    // the tree has the focus: this says of which span it is
    const at = list.indexOf(selected);
    if (at >= first && at < last) scroller.setAttribute("aria-activedescendant", `span${at}`);
    else scroller.removeAttribute("aria-activedescendant");
  }

  function flip(s) {
    if (closed.has(s)) closed.delete(s);
    else closed.add(s);
    list = rows(tree.roots, closed);
    draw();
  }

  function select(s) {
    selected = s;
    const i = list.indexOf(s);
    if (i >= 0 && (i * ROW < scroller.scrollTop || (i + 1) * ROW > scroller.scrollTop + scroller.clientHeight)) scroller.scrollTop = Math.max(0, i * ROW - MAX_HEIGHT / 2);
    draw();
    onSelect(s);
  }

  scroller.addEventListener("scroll", draw);
  scroller.addEventListener("keydown", (e) => {
    const i = list.indexOf(selected);
    const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: list.length - 1, PageDown: Math.min(list.length - 1, i + 20), PageUp: Math.max(0, i - 20) }[e.key];
    if (to !== undefined && list[to]) select(list[to]);
    else if (selected?.children.length && ((e.key === "ArrowLeft" && !closed.has(selected)) || (e.key === "ArrowRight" && closed.has(selected)))) flip(selected);
    else return;
    e.preventDefault();
  });
  draw();
  return { select, selected: () => selected };
}
