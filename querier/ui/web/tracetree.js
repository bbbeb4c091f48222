// A trace as a tree: from OTLP's JSON to rows, and its critical path. Pure.
//
// A span: {id, parent, name, service, kind, start, end (ms, fractions kept), status, message, attributes, resource, events, links, children, depth,
// isError}.

import { attributeValue } from "./explore_traces.js";

const KINDS = { 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer" };

// Ids are hexadecimal, or base64 as protobuf's JSON has bytes.
export function hexId(text, bytes) {
  if (!text) return "";
  if (text.length === bytes * 2 && /^[0-9a-f]+$/i.test(text)) return text.toLowerCase();
  try {
    return [...atob(text)].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  } catch {
    return text;
  }
}

function ms(nanos, base) {
  return Number(BigInt(nanos ?? "0") - base) / 1e6;
}

function mapOf(attributes) {
  return Object.fromEntries((attributes ?? []).map((a) => [a.key, attributeValue(a.value)]));
}

function isSet(status, code, name) {
  return status?.code === code || status?.code === name;
}

// {spans, roots, start (ms since 1970), start_ns, duration}. Spans whose parents are not there are roots, too, and marked; a cycle of parents is cut.
export function treeOf(trace) {
  const raw = [];
  for (const rs of trace.resourceSpans ?? trace.batches ?? []) {
    const resource = mapOf(rs.resource?.attributes);
    for (const ss of rs.scopeSpans ?? rs.instrumentationLibrarySpans ?? [])
      for (const s of ss.spans ?? []) raw.push({ s, resource, scope: ss.scope ?? ss.instrumentationLibrary });
  }
  const base = raw.reduce((least, { s }) => { const t = BigInt(s.startTimeUnixNano ?? "0"); return least === null || t < least ? t : least; }, null) ?? 0n;
  const spans = raw.map(({ s, resource, scope }) => ({
    id: hexId(s.spanId, 8), parent: hexId(s.parentSpanId, 8), name: s.name ?? "", service: resource["service.name"] ?? "unknown",
    kind: KINDS[s.kind] ?? String(s.kind ?? "").replace("SPAN_KIND_", "").toLowerCase(), start: ms(s.startTimeUnixNano, base), end: Math.max(ms(s.startTimeUnixNano, base), ms(s.endTimeUnixNano, base)),
    isError: isSet(s.status, 2, "STATUS_CODE_ERROR"), message: s.status?.message ?? "", attributes: mapOf(s.attributes), resource, scope: scope?.name ?? "",
    events: (s.events ?? []).map((e) => ({ name: e.name, at: ms(e.timeUnixNano, base), attributes: mapOf(e.attributes) })),
    links: (s.links ?? []).map((l) => ({ trace: hexId(l.traceId, 16), span: hexId(l.spanId, 8), attributes: mapOf(l.attributes) })), children: [], depth: 0, isOrphan: false,
  }));
  // a client and a server may share an id, as in Zipkin: the server's children are its own, and it is the client's child
  const byId = new Map(), callers = new Map();
  for (const s of spans) {
    if (!byId.has(s.id) || s.kind === "server") byId.set(s.id, s);
    if (s.kind === "client") callers.set(s.id, s);
  }
  const roots = [];
  for (const s of spans) {
    const parent = (s.kind === "server" && callers.get(s.id)) || (s.parent && byId.get(s.parent));
    if (parent && parent !== s) parent.children.push(s);
    else { s.isOrphan = Boolean(s.parent); roots.push(s); }
  }
  const seen = new Set();
  const walk = (root) => {
    const todo = [root];
    while (todo.length) {
      const s = todo.pop();
      seen.add(s);
      s.children = s.children.filter((c) => !seen.has(c)).sort((a, b) => a.start - b.start);
      for (const c of s.children) { c.depth = s.depth + 1; todo.push(c); }
    }
  };
  roots.sort((a, b) => a.start - b.start).forEach(walk);
  for (const s of spans) if (!seen.has(s)) { s.isOrphan = true; roots.push(s); walk(s); } // all that is left are cycles
  const duration = spans.reduce((most, s) => Math.max(most, s.end), 0);
  return { spans, roots, start: Number(base / 1000n) / 1000, start_ns: base, duration };
}

// Rows from top to bottom; of spans in closed, not what is below them.
export function rowsOf(roots, closed = new Set()) {
  const out = [], todo = [...roots].reverse();
  while (todo.length) {
    const s = todo.pop();
    out.push(s);
    if (!closed.has(s)) for (let i = s.children.length - 1; i >= 0; i--) todo.push(s.children[i]);
  }
  return out;
}

// What the root waited for: from its end backwards, the child that ended last before that moment, and so down. Map of span to [[from, to]…] of the
// time that was its own on the path.
export function criticalPath(root) {
  const path = new Map();
  const put = (s, from, to) => {
    if (!(to > from)) return;
    if (!path.has(s)) path.set(s, []);
    path.get(s).push([from, to]);
  };
  const todo = [[root, root.end]];
  while (todo.length) {
    const [s, until] = todo.pop();
    let now = Math.min(until, s.end);
    const children = [...s.children].sort((a, b) => b.end - a.end);
    for (const c of children) {
      if (now <= s.start) break;
      if (c.start >= now || c.end <= s.start) continue;
      const end = Math.min(c.end, now);
      put(s, end, now);
      todo.push([c, end]);
      now = Math.max(c.start, s.start);
    }
    put(s, s.start, now);
  }
  return path;
}

// Time of its own of each service, and how many spans: [{service, own, spans, errors}], the most first.
export function servicesOf(spans) {
  const by = new Map();
  for (const s of spans) {
    const e = by.get(s.service) ?? { service: s.service, own: 0, spans: 0, errors: 0 };
    e.own += ownTime(s);
    e.spans++;
    e.errors += s.isError ? 1 : 0;
    by.set(s.service, e);
  }
  return [...by.values()].sort((a, b) => b.own - a.own);
}

// The span's time in which none of its children ran.
export function ownTime(s) {
  let covered = 0, until = s.start;
  for (const c of s.children) { // ascending by start
    const from = Math.max(c.start, until), to = Math.min(c.end, s.end);
    if (to > from) { covered += to - from; until = to; }
  }
  return s.end - s.start - covered;
}
