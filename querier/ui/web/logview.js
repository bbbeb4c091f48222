// Log lines with what is known of each: labels, structured metadata, fields in the line; from here to its trace, to the lines around it, and to
// a narrower query.
//
// A line: {ns: "…" (text: nanoseconds do not fit a number), line, labels, meta, parsed}.

import { add, button, el, fill } from "./dom.js";
import { href } from "./router.js";
import { quote, tokens } from "./lang.js";
import { showTime } from "./time.js";

const LEVELS = { critical: "bad", fatal: "bad", error: "bad", err: "bad", warn: "warn", warning: "warn", info: "info", debug: "dim", trace: "dim" };
const TRACE_FIELDS = ["trace_id", "traceID", "traceId", "traceid"];
const FIELDS_MAX = 100;

export function msOf(ns) {
  return Number(BigInt(ns) / 1000000n);
}

// Lines of an answer whose labels are told apart (categorize-labels), newest first.
export function linesOf(streams) {
  const all = streams.flatMap((s) => s.values.map(([ns, line, more]) => ({
    ns, line, labels: s.stream, meta: more?.structuredMetadata ?? {}, parsed: more?.parsed ?? {},
  })));
  return all.sort((a, b) => (a.ns.length - b.ns.length || (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0)) * -1);
}

export function levelOf(l) {
  return (l.meta.detected_level ?? l.labels.detected_level ?? l.parsed.level ?? l.labels.level ?? "").toLowerCase();
}

// As the parsers of LogQL name what they find: http.method is http_method.
function fieldName(name) {
  return name.replace(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d)/, "_");
}

// The fields of a line that is JSON or logfmt: {name: text}, nested names joined by _.
export function fieldsOf(line) {
  const out = {};
  const walk = (value, path) => {
    if (Object.keys(out).length >= FIELDS_MAX) return;
    if (value && typeof value === "object" && !Array.isArray(value))
      for (const [k, v] of Object.entries(value)) walk(v, path ? `${path}_${k}` : k);
    else if (path && !Array.isArray(value)) out[fieldName(path)] = String(value);
  };
  if (line.trimStart().startsWith("{")) {
    try {
      walk(JSON.parse(line), "");
      return { parser: "json", fields: out };
    } catch { /* it only looks like JSON */ }
  }
  // a name begins where a word does, so that a long word is gone through once, not once from each of its letters
  for (const [, k, q, v] of line.matchAll(/(?<![\w./-])([A-Za-z_][\w./-]*)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))/g))
    if (Object.keys(out).length < FIELDS_MAX) out[fieldName(k)] = q ?? v;
  return { parser: Object.keys(out).length ? "logfmt" : null, fields: out };
}

export function traceOfLine(l) {
  const places = [l.meta, l.parsed, l.labels, fieldsOf(l.line).fields];
  for (const p of places) for (const f of TRACE_FIELDS) if (/^[0-9a-f]{16,32}$/i.test(p[f] ?? "")) return p[f];
  return null;
}

export function selectorOf(labels) {
  return `{${Object.entries(labels).filter(([k]) => k !== "detected_level").map(([k, v]) => `${k}=${quote(v)}`).join(", ")}}`;
}

// Where the braces of its first selector stand; values may have braces, too.
function selectorIn(query) {
  let at = 0, from = -1;
  for (const t of tokens("logql", query)) {
    if (t.kind === "punct" && t.text === "{" && from < 0) from = at;
    if (t.kind === "punct" && t.text === "}" && from >= 0) return [from, at];
    at += t.text.length;
  }
  return [-1, -1];
}

// The query with one more condition. Labels of the stream go into its selector, all else behind.
export function narrowed(query, kind, name, value, op, parser) {
  if (kind === "label") {
    const [from, to] = selectorIn(query);
    if (to < 0) return query;
    const inside = query.slice(from + 1, to).trim().replace(/,$/, "");
    return `${query.slice(0, from)}{${inside ? inside + ", " : ""}${name}${op}${quote(value)}${query.slice(to)}`;
  }
  const parse = kind === "field" && parser && !new RegExp(`\\|\\s*${parser}\\b`).test(query) ? ` | ${parser}` : "";
  return `${query}${parse} | ${name}${op}${quote(value)}`;
}

function rows(title, kind, map, narrow, parser) {
  const entries = Object.entries(map);
  if (!entries.length) return null;
  return [el("tr", null, el("th", { colspan: 3, scope: "colgroup" }, title)), entries.map(([k, v]) => el("tr", null,
    el("td", { class: "nowrap" }, narrow && [button("+", () => narrow(kind, k, v, "=", parser), { class: "quiet", "aria-label": `Only lines whose ${k} is ${v}` }),
      button("−", () => narrow(kind, k, v, "!=", parser), { class: "quiet", "aria-label": `Without lines whose ${k} is ${v}` })]),
    el("td", { class: "code dim" }, k), el("td", { class: "code wrap" }, v)))];
}

function details(l, { narrow, context }) {
  const found = fieldsOf(l.line), trace = traceOfLine(l);
  return el("div", { class: "linedetails" },
    el("div", { class: "row" }, trace && el("a", { class: "button", href: href("trace", { id: trace, at: msOf(l.ns) }) }, "Its trace"),
      context && button("Lines around it", () => context(l)),
      button("Copy", () => navigator.clipboard?.writeText(l.line), { class: "quiet" })),
    el("table", null, el("tbody", null, rows("labels of the stream", "label", l.labels, narrow), rows("structured metadata", "meta", l.meta, narrow),
      rows("by the query's parsers", "meta", l.parsed, narrow), rows("fields of the line", "field", found.fields, narrow, found.parser))));
}

export function lineRow(l, actions = {}) {
  const level = levelOf(l);
  const row = el("li", { class: `logline ${LEVELS[level] ?? ""}` });
  let open = null;
  const toggle = el("button", {
    type: "button", class: "logtext", "aria-expanded": "false", onclick: () => {
      if (getSelection()?.toString()) return; // text is being selected
      if (open) { open.remove(); open = null; } else { open = details(l, actions); row.append(open); }
      toggle.setAttribute("aria-expanded", String(open !== null));
    },
  }, el("time", { datetime: new Date(msOf(l.ns)).toISOString() }, showTime(msOf(l.ns), true)), level && el("span", { class: "level" }, level), el("span", { class: "code" }, l.line || " "));
  return add(row, toggle);
}

export function logList(lines, actions) {
  return fill(el("ol", { class: "loglines", "aria-label": "Log lines" }), lines.map((l) => lineRow(l, actions)));
}
