// What of the tenant's data there is most of: series by metric and label, lines by stream.

import { add, el, empty, fill, table, trouble } from "./dom.js";
import { ask, getJson, isAborted } from "./http.js";
import { change, href, resolvedRange } from "./router.js";
import { showBytes, showNumber } from "./number.js";
import { inNanos } from "./time.js";

const ROWS = 50;

function panel(root, title, text) {
  const body = el("div", { "aria-busy": "true" }, empty("Asking…"));
  add(root, el("section", { class: "panel" }, el("h2", null, title), text && el("p", { class: "dim" }, text), body));
  return body;
}

function into(body, work) {
  work.then((node) => fill(body, node)).catch((e) => { if (!isAborted(e)) fill(body, trouble(e)); }).finally(() => body.removeAttribute("aria-busy"));
}

function share(n, total) {
  return el("span", { class: "share" }, el("span", { style: { width: `${total ? Math.min(100, (n / total) * 100) : 0}%` } }), showNumber(n));
}

async function metricNames(selector, signal) {
  const body = await getJson("/api/v1/cardinality/label_values", { "label_names[]": "__name__", selector, limit: ROWS }, signal);
  const label = body.labels?.[0], total = body.series_count_total;
  if (!label?.cardinality?.length) return empty("No series.");
  return table([{ title: "metric", value: (r) => r.label_value, show: (r) => el("a", { class: "code", href: href("usage", { selector: `{__name__=${JSON.stringify(r.label_value)}}` }) }, r.label_value) },
    { title: "series", class: "num", value: (r) => r.series_count, show: (r) => share(r.series_count, total) }], label.cardinality, { sort: 1, caption: `${showNumber(total)} series in memory` });
}

async function labelNames(selector, signal) {
  const body = await getJson("/api/v1/cardinality/label_names", { selector, limit: ROWS }, signal);
  if (!body.cardinality?.length) return empty("No labels.");
  return table([{ title: "label", value: (r) => r.label_name, class: "code" }, { title: "values", class: "num", value: (r) => r.label_values_count, show: (r) => share(r.label_values_count, body.label_values_count_total) }],
    body.cardinality, { sort: 1, caption: `${showNumber(body.label_names_count)} labels, ${showNumber(body.label_values_count_total)} values` });
}

async function logVolume(range, signal) {
  const { data } = await ask("/loki/api/v1/index/volume", { query: '{service_name=~".+"}', start: inNanos(range.from), end: inNanos(range.to), limit: ROWS, targetLabels: "service_name" }, signal);
  if (!data.result.length) return empty("No lines in this range.");
  const rows = data.result.map((s) => ({ name: s.metric.service_name ?? "", bytes: Number(s.value[1]) }));
  return table([{ title: "service", value: (r) => r.name, show: (r) => el("a", { href: href("explore", { lang: "logql", q: `{service_name=${JSON.stringify(r.name)}}` }) }, r.name) },
    { title: "bytes", class: "num", value: (r) => r.bytes, show: (r) => showBytes(r.bytes) }], rows, { sort: 1 });
}

async function stats(signal) {
  const body = await getJson("/api/v1/user_stats", {}, signal);
  return el("p", null, `${showNumber(body.numSeries)} series in memory, ${showNumber(body.ingestionRate)} samples a second`);
}

export function show(root, params, signal) {
  const selector = params.get("selector") ?? "";
  const input = el("input", { type: "text", class: "code", size: 50, value: selector, placeholder: '{job="api"}', "aria-label": "Series that are counted", onchange: () => change({ selector: input.value.trim() || null }) });
  add(root, el("h1", null, "Usage"), el("label", { class: "row" }, "Of the series", input));
  into(panel(root, "Now"), stats(signal));
  into(panel(root, "Metrics with the most series", "Press one to see which of its labels have the most values."), metricNames(selector, signal));
  into(panel(root, "Labels with the most values"), labelNames(selector, signal));
  into(panel(root, "Services with the most log text", "In the range of time above."), logVolume(resolvedRange(), signal));
}
