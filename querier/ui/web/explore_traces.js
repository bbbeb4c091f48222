// TraceQL: traces that match, as points of time and duration and as a table; or, for metric queries, a graph. An id alone is a trace.

import { add, el, empty, fill, svg, table } from "./dom.js";
import { getJson, isAborted } from "./http.js";
import { color, labelsText } from "./number.js";
import { change, go, href, resolvedRange } from "./router.js";
import { showDuration, showTick, showTime, stepFor, timeTicks } from "./time.js";
import { plot } from "./plot.js";

const LIMIT = 100, POINTS = 500, SCATTER = { width: 1000, height: 220, left: 70, bottom: 24, top: 10 };
const METRICS = /\|\s*(?:rate|count_over_time|sum_over_time|avg_over_time|min_over_time|max_over_time|quantile_over_time|histogram_over_time|compare)\s*\(/;

export function isOfNumbers(query) {
  return METRICS.test(query);
}

export function attributeValue(v) {
  if (v === undefined || v === null) return "";
  for (const k of ["stringValue", "intValue", "doubleValue", "boolValue", "bytesValue"]) if (v[k] !== undefined) return String(v[k]);
  if (v.arrayValue) return `[${(v.arrayValue.values ?? []).map(attributeValue).join(", ")}]`;
  if (v.kvlistValue) return `{${(v.kvlistValue.values ?? []).map((e) => `${e.key}: ${attributeValue(e.value)}`).join(", ")}}`;
  return "";
}

function scatter(traces, range) {
  const { width, height, left, bottom, top } = SCATTER;
  const durations = traces.map((t) => Math.max(0.001, t.durationMs ?? 0.001));
  const low = Math.min(...durations), high = Math.max(...durations, low * 2);
  const x = (t) => left + ((t - range.from) / (range.to - range.from)) * (width - left - 10);
  const y = (d) => top + (1 - Math.log(Math.max(d, low) / low) / Math.log(high / low)) * (height - top - bottom);
  const { ticks, step } = timeTicks(range.from, range.to, 10);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "scatter", role: "group", "aria-label": "Traces by time and duration" });
  for (const t of ticks) add(node, svg("line", { x1: x(t), x2: x(t), y1: top, y2: height - bottom, class: "grid" }), svg("text", { x: x(t), y: height - 8, "text-anchor": "middle" }, showTick(t, step)));
  for (const d of [low, Math.sqrt(low * high), high]) add(node, svg("text", { x: left - 6, y: y(d) + 4, "text-anchor": "end" }, showDuration(d)));
  traces.forEach((t, i) => {
    const text = `${t.rootServiceName ?? ""} ${t.rootTraceName ?? ""}: ${showDuration(durations[i])} at ${showTime(startOf(t))}`;
    add(node, svg("a", { href: href("trace", { id: t.traceID, at: Math.round(startOf(t)) }), "aria-label": text },
      svg("circle", { cx: x(startOf(t)), cy: y(durations[i]), r: 5, class: "trace" }, svg("title", null, text))));
  });
  return node;
}

function startOf(t) {
  return Number(BigInt(t.startTimeUnixNano ?? "0") / 1000n) / 1000;
}

function matched(t) {
  return (t.spanSets ?? (t.spanSet ? [t.spanSet] : [])).reduce((n, s) => n + (s.matched ?? s.spans?.length ?? 0), 0);
}

async function search(box, query, range, signal) {
  const body = await getJson("/api/search", { q: query, start: Math.floor(range.from / 1000), end: Math.ceil(range.to / 1000), limit: LIMIT, spss: 5 }, signal);
  const traces = body.traces ?? [];
  if (!traces.length) return fill(box, empty("No trace matches in this range."));
  return fill(box, scatter(traces, range), table([
    { title: "trace", value: (t) => t.traceID, show: (t) => el("a", { class: "code", href: href("trace", { id: t.traceID, at: Math.round(startOf(t)) }) }, t.traceID) },
    { title: "service", value: (t) => t.rootServiceName ?? "" }, { title: "name", value: (t) => t.rootTraceName ?? "" },
    { title: "start", value: startOf, show: (t) => showTime(startOf(t), true) },
    { title: "duration", class: "num", value: (t) => t.durationMs ?? 0, show: (t) => showDuration(t.durationMs ?? 0) },
    { title: "spans that match", class: "num", value: matched },
  ], traces, { sort: 3, caption: `${traces.length} traces${traces.length === LIMIT ? ", as many as were asked for" : ""}` }));
}

function labelsOf(series) {
  return Object.fromEntries((series.labels ?? []).map((l) => [l.key, attributeValue(l.value)]));
}

async function numbers(box, query, range, signal, cleanups) {
  const step = Math.max(1000, stepFor(range, POINTS));
  const body = await getJson("/api/metrics/query_range", { q: query, start: Math.floor(range.from / 1000), end: Math.ceil(range.to / 1000), step: `${step / 1000}s` }, signal);
  const list = body.series ?? [];
  if (!list.length) return fill(box, empty("No data in this range."));
  const exemplars = list.flatMap((s) => (s.exemplars ?? []).map((e) => ({
    t: Number(e.timestampMs), value: Number(e.value ?? 0), labels: Object.fromEntries((e.labels ?? []).map((l) => [l.key, attributeValue(l.value)])),
  }))).filter((e) => e.labels["trace:id"] ?? e.labels.trace_id);
  cleanups.push(plot(box, {
    series: list.map((s, i) => ({ name: labelsText(labelsOf(s)) || s.promLabels, labels: labelsOf(s), color: color(i), points: (s.samples ?? []).map((p) => [Number(p.timestampMs), Number(p.value ?? 0)]) })),
    from: range.from, to: range.to, step, exemplars, label: "Result", onZoom: (from, to) => change({ from: String(from), to: String(to) }),
    onExemplar: (e) => go("trace", { id: e.labels["trace:id"] ?? e.labels.trace_id, at: e.t }),
  }));
  return box;
}

export function show(root, { queries, signal, fail }) {
  const query = queries[0], range = resolvedRange(), cleanups = [];
  if (!query) {
    fill(root, empty("Write a query in braces, { status = error }, or paste the id of a trace."));
    return () => {};
  }
  if (/^[0-9a-f]{16,32}$/i.test(query)) {
    go("trace", { id: query }, { replace: true });
    return () => {};
  }
  const box = fill(el("div", { class: "panel", "aria-busy": "true" }), el("p", { class: "empty" }, "Asking…"));
  fill(root, box);
  (isOfNumbers(query) ? numbers(box, query, range, signal, cleanups) : search(box, query, range, signal))
    .catch((e) => { if (!isAborted(e)) { fill(box, empty("The query failed.")); fail(0, e); } }).finally(() => box.removeAttribute("aria-busy"));
  return () => cleanups.forEach((c) => c());
}
