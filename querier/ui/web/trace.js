// One trace: its waterfall, the path that took the time, each span's details, and what was logged meanwhile.

import { add, button, el, empty, fill, trouble } from "./dom.js";
import { ask, getJson, isAborted } from "./http.js";
import { events } from "./events.js";
import { seriesSelector } from "./lang.js";
import { logList } from "./logview.js";
import { colorOf, labelsText } from "./number.js";
import { change, go, href } from "./router.js";
import { HOUR, MINUTE, showDuration, showTime } from "./time.js";
import { criticalPath, rowsOf, servicesOf, treeOf, ownTime } from "./tracetree.js";
import { waterfall } from "./waterfall.js";

const LIMIT = 500; // of lines, events and exemplars
const MEANWHILE = 2 * MINUTE;

function pairs(title, map) {
  const entries = Object.entries(map);
  return entries.length ? [el("h3", null, title), el("table", null, el("tbody", null, entries.map(([k, v]) => el("tr", null, el("th", { scope: "row", class: "code dim" }, k), el("td", { class: "code wrap" }, v)))))] : null;
}

function links(tree, s) {
  const from = String(Math.floor(tree.start + s.start - 15 * MINUTE)), to = String(Math.ceil(tree.start + s.end + 15 * MINUTE));
  const service = JSON.stringify(s.service);
  return el("div", { class: "row" },
    el("a", { class: "button", href: href("explore", { lang: "logql", q: `{service_name=${service}}`, from, to }) }, "Logs of its service"),
    el("a", { class: "button", href: href("explore", { lang: "promql", q: `sum by (span_name) (rate(traces_spanmetrics_calls_total{service=${service}}[5m]))`, from, to }) }, "Rate of its service"),
    el("a", { class: "button", href: href("explore", { lang: "traceql", q: `{ resource.service.name = ${service} && name = ${JSON.stringify(s.name)} }`, from, to }) }, "Spans like it"));
}

function spanDetails(tree, s, logs) {
  const own = logs.filter((l) => l.meta.span_id === s.id);
  return el("section", { class: "spandetails", "aria-label": `Span ${s.name}` },
    el("h2", null, el("span", { class: "dot", style: { background: colorOf(s.service) } }), `${s.service}: ${s.name}`),
    el("p", null, `${s.kind || "internal"} · ${showDuration(s.end - s.start)}, of which its own ${showDuration(ownTime(s))} · begins after ${showDuration(s.start)} · `, el("span", { class: "code" }, s.id)),
    s.isError && el("p", { class: "bad" }, `error${s.message ? `: ${s.message}` : ""}`),
    s.isOrphan && el("p", { class: "warning" }, "Its parent is not in this trace."), links(tree, s),
    own.length > 0 && [el("h3", null, `${own.length} log lines`), logList(own, {})],
    s.events.length > 0 && [el("h3", null, "events"), s.events.map((e) => el("details", { open: s.events.length < 4 }, el("summary", null, `${e.name} after ${showDuration(e.at - s.start)}`), pairs("", e.attributes)))],
    s.links.length > 0 && [el("h3", null, "links"), s.links.map((l) => el("p", null, el("a", { class: "code", href: href("trace", { id: l.trace }) }, `${l.trace} ${l.span}`)))],
    pairs("attributes", s.attributes), pairs(`resource${s.scope ? `, by ${s.scope}` : ""}`, s.resource));
}

// What the other signals hold of the trace: its lines and exemplars; and what happened a little before and after it.
async function around(id, tree, signal) {
  const [{ data, warnings }, meanwhile] = await Promise.all([ask("/api/correlate", { trace_id: id, limit: LIMIT }, signal),
    events({ from: tree.start - MEANWHILE, to: tree.start + tree.duration + MEANWHILE }, signal)]);
  return {
    lines: data.logs.map((l) => ({ ns: l.timeUnixNano, line: l.line, labels: l.labels, meta: l.structuredMetadata ?? {}, parsed: {} })),
    events: meanwhile, exemplars: data.exemplars.flatMap((s) => s.exemplars.map((e) => ({ ...e, series: s.seriesLabels }))),
    warnings: [...warnings, ...data.partial.map((p) => `${p.signal}: ${p.error}`), ...data.truncated.map((t) => `There are more ${t} than are shown.`)],
  };
}

function aroundBox(found) {
  return [found.warnings.map((w) => el("p", { class: "warning" }, w)),
    el("h2", null, "Log lines"), found.lines.length ? logList(found.lines, {}) : empty("No line carries this trace's id."),
    found.events.length > 0 && [el("h2", null, "Meanwhile"), found.events.map((e) => el("p", null, el("b", null, e.kind), ` ${e.text} · ${showTime(e.t)}${e.end ? ` to ${showTime(e.end)}` : ""}`))],
    found.exemplars.length > 0 && [el("h2", null, "Is an exemplar of"), found.exemplars.slice(0, 50).map((e) => el("p", null, el("a", { class: "code", href: href("explore", { lang: "promql", q: seriesSelector(e.series) }) }, labelsText(e.series)), ` ${e.value}`))]];
}

async function load(id, at, signal) {
  const near = Number(at);
  const range = near > 0 ? { start: Math.floor((near - HOUR) / 1000), end: Math.ceil((near + HOUR) / 1000) } : {};
  try {
    return await getJson(`/api/v2/traces/${id}`, range, signal);
  } catch (e) {
    if (e.status !== 404 || !near) throw e;
    return getJson(`/api/v2/traces/${id}`, {}, signal); // it may have begun long before
  }
}

function asker(root) {
  const input = el("input", { type: "text", size: 36, "aria-label": "Id of a trace", placeholder: "id of a trace", class: "code" });
  root.append(el("form", { class: "row", onsubmit: (e) => { e.preventDefault(); if (input.value.trim()) go("trace", { id: input.value.trim() }); } }, input, el("button", { type: "submit" }, "Show")));
}

export function show(root, params, signal) {
  const id = (params.get("id") ?? "").toLowerCase();
  add(root, el("h1", { class: "off" }, "Trace"));
  if (!/^[0-9a-f]{1,32}$/.test(id)) {
    asker(root);
    if (id) root.append(trouble("An id of a trace is up to 32 hexadecimal digits."));
    return () => {};
  }
  const box = el("div", { class: "panel", "aria-busy": "true" }, empty("Asking…"));
  root.append(box);
  let drawn = null;
  (async () => {
    const answer = await load(id, params.get("at"), signal);
    const tree = treeOf(answer.trace ?? answer);
    if (!tree.spans.length) return fill(box, empty("This trace has no spans."));
    const main = tree.roots.reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a));
    const path = criticalPath(main);
    const slowest = [...path].map(([s, parts]) => [s, parts.reduce((n, [f, t]) => n + t - f, 0)]).sort((a, b) => b[1] - a[1]);
    const side = el("div", { class: "side" }), rest = el("div", null, empty("Looking for its log lines…"));
    let logs = [];
    const select = (s) => { fill(side, spanDetails(tree, s, logs)); change({ span: s.id }, { replace: true, quiet: true }); };
    const errors = tree.spans.filter((s) => s.isError).length;
    const chart = el("div");
    fill(box,
      el("h2", null, `${main.service}: ${main.name}`),
      el("p", null, `${showTime(tree.start, true)} · `, el("b", null, showDuration(tree.duration)), ` · ${tree.spans.length} spans · `, errors ? el("span", { class: "bad" }, `${errors} errors`) : "no errors", " · ", el("span", { class: "code" }, id)),
      answer.status === "PARTIAL" && el("p", { class: "warning" }, `This trace is not whole: ${answer.message ?? ""}`),
      el("p", { class: "row" }, servicesOf(tree.spans).slice(0, 12).map((v) => el("span", { class: "chip" }, el("span", { class: "dot", style: { background: colorOf(v.service) } }), `${v.service} ${showDuration(v.own)}`))),
      slowest.length > 0 && el("p", null, "Most of the time went to ", button(`${slowest[0][0].service}: ${slowest[0][0].name}`, () => drawn.select(slowest[0][0]), { class: "quiet" }), ` (${showDuration(slowest[0][1])} of ${showDuration(main.end - main.start)})`),
      el("div", { class: "split" }, chart, side),
      el("section", null, rest));
    drawn = waterfall(chart, { tree, rows: rowsOf, path, onSelect: select });
    drawn.select(tree.spans.find((s) => s.id === params.get("span")) ?? slowest[0]?.[0] ?? main);
    try {
      const found = await around(id, tree, signal);
      logs = found.lines;
      fill(rest, aroundBox(found));
      const now = drawn.selected();
      if (now) select(now);
    } catch (e) {
      if (!isAborted(e)) fill(rest, trouble(e));
    }
    return box;
  })().catch((e) => { if (!isAborted(e)) fill(box, trouble(e)); }).finally(() => box.removeAttribute("aria-busy"));
  return () => {};
}
