// Who calls whom: the service graph that is made of spans (or, where that is off, Jaeger's dependencies), with rate, errors and time of each edge.

import { add, el, empty, fill, svg, table, trouble } from "./dom.js";
import { ask, isAborted } from "./http.js";
import { href, resolvedRange } from "./router.js";
import { layered } from "./layers.js";
import { parseValue, showNumber } from "./number.js";
import { inSeconds, showDuration } from "./time.js";

const NODE = { width: 170, height: 54 };

async function byMetrics(range, signal) {
  const span = `${Math.max(60, Math.round((range.to - range.from) / 1000))}s`, time = inSeconds(range.to);
  const by = "sum by (client, server, connection_type)";
  const asks = [`${by} (increase(traces_service_graph_request_total[${span}]))`, `${by} (increase(traces_service_graph_request_failed_total[${span}]))`,
    `sum by (client, server) (increase(traces_service_graph_request_server_seconds_sum[${span}]))`];
  const [total, failed, seconds] = await Promise.all(asks.map((query) => ask("/api/v1/query", { query, time }, signal)));
  const edges = new Map();
  const edge = (m) => {
    const { client = "", server = "" } = m, key = `${client}\0${server}`;
    if (!edges.has(key)) edges.set(key, { from: client, to: server, calls: 0, failed: 0, seconds: null, kind: m.connection_type ?? "" });
    return edges.get(key);
  };
  for (const s of total.data.result) edge(s.metric).calls += parseValue(s.value[1]);
  for (const s of failed.data.result) edge(s.metric).failed += parseValue(s.value[1]);
  for (const s of seconds.data.result) edge(s.metric).seconds = parseValue(s.value[1]);
  return [...edges.values()].filter((e) => e.calls > 0);
}

async function byTraces(range, signal) {
  const { data } = await ask("/jaeger/api/dependencies", { endTs: Math.round(range.to), lookback: Math.round(range.to - range.from) }, signal);
  return (data ?? []).map((d) => ({ from: d.parent, to: d.child, calls: d.callCount, failed: 0, seconds: null, kind: "" }));
}

function drawGraph(edges, select) {
  const { nodes, width, height } = layered(edges, NODE);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "graph", role: "group", "aria-label": "Service graph" },
    svg("defs", null, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 10, markerHeight: 10, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow" }))));
  const most = Math.max(...edges.map((e) => e.calls));
  for (const e of edges) {
    const a = nodes.get(e.from), b = nodes.get(e.to);
    const x1 = a.x + NODE.width, y1 = a.y + NODE.height / 2, x2 = b.x, y2 = b.y + NODE.height / 2, bend = Math.max(40, Math.abs(x2 - x1) / 2);
    const path = svg("path", { d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`, class: e.failed > 0 ? "edge failing" : "edge", "marker-end": "url(#arrow)" },
      svg("title", null, `${e.from} → ${e.to}: ${showNumber(e.calls)} calls, ${showNumber(e.failed)} failed`));
    path.style.setProperty("stroke-width", `${1 + 4 * Math.sqrt(e.calls / most)}px`);
    add(node, path);
  }
  for (const [name, n] of nodes) {
    const calls = edges.filter((e) => e.to === name).reduce((s, e) => s + e.calls, 0), failed = edges.filter((e) => e.to === name).reduce((s, e) => s + e.failed, 0);
    const g = svg("g", {
      class: failed > 0 ? "node failing" : "node", transform: `translate(${n.x},${n.y})`, role: "button", tabindex: 0, "aria-label": `${name}: ${showNumber(calls)} calls, ${showNumber(failed)} failed`,
      onclick: () => select(name), onkeydown: (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); select(name); } },
    }, svg("rect", { width: NODE.width, height: NODE.height, rx: 8 }), svg("text", { x: 10, y: 22, class: "nodename" }, name.length > 22 ? `${name.slice(0, 21)}…` : name),
      svg("text", { x: 10, y: 41 }, calls ? `${showNumber(calls)} calls${failed ? `, ${showNumber((failed / calls) * 100, 2)} % failed` : ""}` : "calls others"));
    add(node, g);
  }
  return node;
}

function serviceBox(name, edges) {
  const q = JSON.stringify(name);
  return el("section", { class: "side" }, el("h2", null, name), el("div", { class: "row" },
    el("a", { class: "button", href: href("explore", { lang: "promql", q: [`sum by (span_name) (rate(traces_spanmetrics_calls_total{service=${q}}[5m]))`] }) }, "Rate"),
    el("a", { class: "button", href: href("explore", { lang: "promql", q: [`sum(rate(traces_spanmetrics_calls_total{service=${q}, status_code="STATUS_CODE_ERROR"}[5m])) / sum(rate(traces_spanmetrics_calls_total{service=${q}}[5m]))`] }) }, "Errors"),
    el("a", { class: "button", href: href("explore", { lang: "logql", q: [`{service_name=${q}}`] }) }, "Logs"),
    el("a", { class: "button", href: href("explore", { lang: "traceql", q: [`{ resource.service.name = ${q} && status = error }`] }) }, "Failing traces"),
    el("a", { class: "button", href: href("explore", { lang: "traceql", q: [`{ resource.service.name = ${q} }`] }) }, "Traces")),
  el("p", { class: "dim" }, `calls ${edges.filter((e) => e.from === name).map((e) => e.to).join(", ") || "nobody"}; is called by ${edges.filter((e) => e.to === name).map((e) => e.from).join(", ") || "nobody"}`));
}

export function show(root, params, signal) {
  const range = resolvedRange();
  const box = el("div", { class: "panel", "aria-busy": "true" }, empty("Asking…"));
  add(root, el("h1", null, "Services"), box);
  (async () => {
    let edges = await byMetrics(range, signal).catch((e) => { if (isAborted(e)) throw e; return []; });
    let source = "by the metrics that are made of spans";
    if (!edges.length) { edges = await byTraces(range, signal); source = "by the traces that are kept"; }
    if (!edges.length) return fill(box, empty("No calls between services in this range. Send spans by OTLP, and let the ingester make metrics of them (ingester.traces, and the tenant's metrics_generator)."));
    const side = el("div");
    fill(box, el("p", { class: "dim" }, source), el("div", { class: "graphbox" }, drawGraph(edges, (name) => fill(side, serviceBox(name, edges)))), side,
      table([{ title: "from", value: (e) => e.from }, { title: "to", value: (e) => e.to }, { title: "kind", value: (e) => e.kind }, { title: "calls", class: "num", value: (e) => e.calls, show: (e) => showNumber(e.calls) },
        { title: "failed", class: "num", value: (e) => e.failed, show: (e) => (e.failed ? el("span", { class: "bad" }, showNumber(e.failed)) : "0") },
        { title: "mean time", class: "num", value: (e) => (e.seconds === null ? -1 : e.seconds / e.calls), show: (e) => (e.seconds === null ? "–" : showDuration((e.seconds / e.calls) * 1000)) }], edges, { sort: 3 }));
    return box;
  })().catch((e) => { if (!isAborted(e)) fill(box, trouble(e)); }).finally(() => box.removeAttribute("aria-busy"));
}
