// The range of time that every page looks at.

import { button, el, say } from "./dom.js";
import { change, range, resolvedRange } from "./router.js";
import { parseTime, QUICK, showTime } from "./time.js";
import { load, save } from "./store.js";

function shift(part) {
  const r = resolvedRange(), by = (r.to - r.from) * part;
  change({ from: String(Math.round(r.from + by)), to: String(Math.round(r.to + by)) });
}

function zoomOut() {
  const r = resolvedRange(), half = (r.to - r.from) / 2;
  change({ from: String(Math.round(r.from - half)), to: String(Math.round(Math.min(r.to + half, Date.now()))) });
}

function title() {
  const r = range();
  if (r.to === "now" && r.from.startsWith("now-")) return `last ${r.from.slice(4)}`;
  const { from, to } = resolvedRange();
  return `${showTime(from)} – ${showTime(to)}`;
}

function field(label, value) {
  return el("label", null, label, el("input", { type: "text", value, size: 22, spellcheck: "false" }));
}

// What was written, by the clock that is shown, as a parameter of the address; "NaN" if it is no time.
export function toParam(text) {
  if (text.startsWith("now") || /^\d+$/.test(text)) return text;
  const clock = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text.replace(" ", "T"); // Date.parse takes a day alone for one of UTC
  return String(parseTime(clock + (load("utc", false) ? "Z" : ""), Date.now()));
}

function popup() {
  const r = range();
  const asText = (v) => (/^\d+$/.test(v) ? showTime(Number(v)) : v);
  const from = field("From", asText(r.from)), to = field("To", asText(r.to));
  const apply = () => {
    const values = [from, to].map((f) => toParam(f.querySelector("input").value.trim()));
    if (values.some((v) => Number.isNaN(parseTime(v, Date.now())))) say("No such time: write now-1h, or 2026-01-31 14:00:00");
    else change({ from: values[0], to: values[1] });
  };
  return el("form", { class: "popup", onsubmit: (e) => { e.preventDefault(); apply(); } },
    el("div", { class: "quick" }, QUICK.map((q) => button(q, () => change({ from: `now-${q}`, to: "now" }), { class: "quiet" }))),
    from, to,
    el("label", { class: "check" }, el("input", {
      type: "checkbox", checked: load("utc", false), onchange: (e) => { save("utc", e.target.checked); change({}); },
    }), "UTC"),
    el("button", { type: "submit" }, "Show"));
}

export function timePicker() {
  const details = el("details", { class: "timepicker" }, el("summary", { "aria-label": `Range of time: ${title()}` }, title()));
  details.addEventListener("toggle", () => {
    details.querySelector("form")?.remove();
    if (details.open) details.append(popup());
  });
  details.addEventListener("keydown", (e) => { if (e.key === "Escape") { details.open = false; details.querySelector("summary").focus(); } });
  return el("div", { class: "range" },
    button("‹", () => shift(-0.5), { class: "quiet", "aria-label": "Earlier" }), details,
    button("›", () => shift(0.5), { class: "quiet", "aria-label": "Later" }),
    button("–", zoomOut, { class: "quiet", "aria-label": "Show more time", title: "Show more time" }));
}
