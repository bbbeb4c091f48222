// PromQL: lines, heat maps of native histograms, or a table; with exemplars, and marks of what happened.

import { add, button, el, empty, fill, table, trouble } from "./dom.js";
import { ask, isAborted } from "./http.js";
import { columnsOf, heatmap } from "./heatmap.js";
import { color, labelsText, parseValue, showNumber } from "./number.js";
import { change, go, href, resolvedRange } from "./router.js";
import { events } from "./events.js";
import { inSeconds, stepFor, showTime } from "./time.js";
import { plot } from "./plot.js";

const POINTS = 1000, SERIES_MAX = 500, EXEMPLARS_MAX = 400;
const TRACE_LABELS = ["trace_id", "traceID", "traceId", "TraceID"];

export function traceOf(labels) {
  for (const l of TRACE_LABELS) if (labels[l]) return labels[l];
  return null;
}

function lines(matrix, first) {
  return matrix.filter((s) => s.values?.length).map((s, i) => ({
    name: labelsText(s.metric), labels: s.metric, color: color(first + i), points: s.values.map(([t, v]) => [t * 1000, parseValue(v)]),
  }));
}

// Some of them, spread over time, the greatest of each stretch: a graph has room for so many.
export function thinExemplars(list, from, to, most) {
  if (list.length <= most) return list;
  const best = new Map();
  for (const e of list) {
    const slot = Math.floor(((e.t - from) / (to - from)) * most);
    if (!best.has(slot) || best.get(slot).value < e.value) best.set(slot, e);
  }
  return [...best.values()];
}

async function exemplarsOf(queries, range, signal) {
  const all = await Promise.all(queries.map((query) => ask("/api/v1/query_exemplars", { query, start: inSeconds(range.from), end: inSeconds(range.to) }, signal).catch(() => ({ data: [] }))));
  const list = all.flatMap(({ data }) => data.flatMap((s) => s.exemplars.map((e) => ({ t: e.timestamp * 1000, value: parseValue(e.value), labels: e.labels, series: s.seriesLabels }))));
  return thinExemplars(list.filter((e) => traceOf(e.labels)), range.from, range.to, EXEMPLARS_MAX);
}

function warningsBox(warnings) {
  return warnings.length ? el("div", { class: "warning", role: "status" }, [...new Set(warnings)].map((w) => el("div", null, w))) : null;
}

function asGraph(box, { answers, range, step, marks, exemplars }) {
  const cleanups = [];
  const all = answers.flatMap((a, i) => lines(a.data.result, answers.slice(0, i).reduce((n, b) => n + b.data.result.length, 0)));
  const heat = answers.flatMap((a) => a.data.result.filter((s) => s.histograms?.length));
  const onExemplar = (e) => go("trace", { id: traceOf(e.labels), at: Math.round(e.t) });
  const onZoom = (from, to) => change({ from: String(from), to: String(to) });
  fill(box, !all.length && !heat.length && empty("No data in this range."));
  if (all.length) {
    const place = el("div");
    add(box, place);
    cleanups.push(plot(place, {
      series: all.slice(0, SERIES_MAX), from: range.from, to: range.to, step, marks, exemplars, onZoom, onExemplar, label: "Result",
    }));
    if (all.length > SERIES_MAX) add(box, el("p", { class: "warning" }, `${all.length} series: ${SERIES_MAX} are drawn. Ask for fewer, with topk() or a label.`));
  }
  if (heat.length) {
    const place = el("div");
    add(box, el("h2", null, heat.length > 1 ? `${heat.length} native histograms, added up` : labelsText(heat[0].metric)), place);
    cleanups.push(heatmap(place, { columns: columnsOf(heat), from: range.from, to: range.to, step, marks, exemplars, onZoom, onExemplar }));
  }
  if (exemplars.length)
    add(box, el("details", null, el("summary", null, `${exemplars.length} exemplars`), table([
      { title: "time", value: (e) => e.t, show: (e) => showTime(e.t, true) }, { title: "value", value: (e) => e.value, show: (e) => showNumber(e.value), class: "num" },
      { title: "trace", value: (e) => traceOf(e.labels), show: (e) => el("a", { class: "code", href: href("trace", { id: traceOf(e.labels), at: Math.round(e.t) }) }, traceOf(e.labels)) },
      { title: "series", value: (e) => labelsText(e.series) }], exemplars, { sort: 1 })));
  return cleanups;
}

async function asTable(box, queries, range, signal, tell) {
  const answers = await Promise.all(queries.map((query, i) => ask("/api/v1/query", { query, time: inSeconds(range.to) }, signal).catch(tell(i))));
  const rows = answers.flatMap(({ data }) => {
    if (data.resultType === "scalar" || data.resultType === "string") return [{ labels: {}, value: data.result[1] }];
    return data.result.map((s) => ({ labels: s.metric, value: (s.value ?? s.values?.at(-1))?.[1] ?? null, histogram: s.histogram?.[1] }));
  });
  const names = [...new Set(rows.flatMap((r) => Object.keys(r.labels)))].sort();
  fill(box, warningsBox(answers.flatMap((a) => a.warnings)), rows.length ? table([
    ...names.map((n) => ({ title: n === "__name__" ? "metric" : n, value: (r) => r.labels[n] ?? "" })),
    { title: "value", class: "num", value: (r) => (r.histogram ? Number(r.histogram.count) : parseValue(r.value)),
      show: (r) => (r.histogram ? `count ${showNumber(Number(r.histogram.count))}, sum ${showNumber(Number(r.histogram.sum))}` : r.value) },
  ], rows, { sort: names.length, caption: `${rows.length} series at ${showTime(range.to)}` }) : empty("No data at this time."));
}

export function show(root, { queries, params, signal, fail }) {
  const view = params.get("view") === "table" ? "table" : "graph";
  const range = resolvedRange(), step = Math.max(1000, stepFor(range, POINTS));
  const cleanups = [];
  if (!queries.length) {
    fill(root, empty("Write a query, or begin with the name of a metric: what is there is proposed as you type."));
    return () => {};
  }
  const box = el("div", { class: "panel", "aria-busy": "true" }, el("p", { class: "empty" }, "Asking…"));
  fill(root, el("div", { class: "row" }, ["graph", "table"].map((v) => button(v === "graph" ? "Graph" : "Table", () => change({ view: v === "graph" ? null : v }), { "aria-pressed": String(v === view), class: "quiet" })),
    el("span", { class: "dim" }, view === "graph" ? `step ${step / 1000} s` : "")), box);
  let isTold = false;
  const tell = (i) => (e) => {
    isTold = true;
    fail(i, e);
    throw e;
  };
  const work = async () => {
    if (view === "table") return asTable(box, queries, range, signal, tell);
    const answers = await Promise.all(queries.map((query, i) =>
      ask("/api/v1/query_range", { query, start: inSeconds(range.from), end: inSeconds(range.to), step: step / 1000 }, signal).catch(tell(i))));
    const [exemplars, marks] = await Promise.all([exemplarsOf(queries, range, signal), events(range, signal)]);
    if (signal.aborted) return;
    cleanups.push(...asGraph(box, { answers, range, step, marks, exemplars }) ?? []);
    const w = warningsBox(answers.flatMap((a) => a.warnings));
    if (w) box.prepend(w);
  };
  work().catch((e) => { if (!isAborted(e)) fill(box, isTold ? empty("The query failed.") : trouble(e)); }).finally(() => box.removeAttribute("aria-busy"));
  return () => cleanups.forEach((c) => c());
}
