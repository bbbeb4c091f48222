// What may stand where the cursor is: words of the language, names and values that the tenant's data have.

import { ask, getJson } from "./http.js";
import { attributeName, context, labelName, LANGS, metricName } from "./lang.js";
import { resolvedRange } from "./router.js";
import { inSeconds, inNanos } from "./time.js";

const MAX = 60, ASK_MAX = 5000, KEEP_MS = 60000;
const kept = new Map(); // question: {when, answer}

async function once(key, work) {
  const had = kept.get(key);
  if (had && Date.now() - had.when < KEEP_MS) return had.answer;
  const answer = work().catch(() => []); // no proposals is no error
  kept.set(key, { when: Date.now(), answer });
  if (kept.size > 200) kept.delete(kept.keys().next().value);
  return answer;
}

function rangeOf(lang) {
  const r = resolvedRange();
  if (lang === "logql") return { start: inNanos(r.from), end: inNanos(r.to) };
  return { start: inSeconds(r.from), end: inSeconds(r.to) };
}

// A selector that was begun, closed behind its last whole matcher; "" if it has none.
export function closed(selector) {
  const open = selector.indexOf("{");
  if (open < 0) return "";
  const whole = [...selector.slice(open + 1).matchAll(/([A-Za-z_][\w]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?=,|$|\s)/g)].map((m) => `${m[1]}${m[2]}"${m[3]}"`);
  const name = selector.slice(0, open);
  return name || whole.length ? `${name}{${whole.join(",")}}` : "";
}

const SOURCES = {
  promql: {
    async names() { return (await ask("/api/v1/label/__name__/values", { ...rangeOf("promql"), limit: ASK_MAX })).data; },
    async labels(selector) { return (await ask("/api/v1/labels", { ...rangeOf("promql"), "match[]": closed(selector) || null, limit: ASK_MAX })).data; },
    async values(label, selector) {
      return (await ask(`/api/v1/label/${encodeURIComponent(label)}/values`, { ...rangeOf("promql"), "match[]": closed(selector) || null, limit: ASK_MAX })).data;
    },
  },
  logql: {
    async names() { return []; },
    async labels(selector) { return (await ask("/loki/api/v1/labels", { ...rangeOf("logql"), query: closed(selector) || null })).data ?? []; },
    async values(label, selector) {
      return (await ask(`/loki/api/v1/label/${encodeURIComponent(label)}/values`, { ...rangeOf("logql"), query: closed(selector) || null })).data ?? [];
    },
  },
  traceql: {
    async names() { return []; },
    async labels() {
      const r = resolvedRange();
      const body = await getJson("/api/v2/search/tags", { start: Math.floor(r.from / 1000), end: Math.ceil(r.to / 1000), limit: ASK_MAX });
      return (body.scopes ?? []).flatMap((s) => (s.tags ?? []).map((t) => (s.name === "intrinsic" ? t : `${s.name}.${t}`)));
    },
    async values(label) {
      const r = resolvedRange();
      const body = await getJson(`/api/v2/search/tag/${encodeURIComponent(label)}/values`, { start: Math.floor(r.from / 1000), end: Math.ceil(r.to / 1000) });
      return (body.tagValues ?? []).map((v) => (v.type === "string" ? v.value : { bare: String(v.value) }));
    },
  },
};

function rank(word, list) {
  const w = word.toLowerCase();
  const scored = [];
  for (const one of list) {
    const at = one.text.toLowerCase().indexOf(w);
    if (at >= 0 && one.text !== word) scored.push([at === 0 ? 0 : 1, one.text.length, one]);
  }
  scored.sort((a, b) => a[0] - b[0] || a[1] - b[1] || (a[2].text < b[2].text ? -1 : 1));
  return scored.slice(0, MAX).map((s) => s[2]);
}

// [{text, insert, kind}] for the text before the cursor, and how much of it the insertion replaces: {list, replace}.
export async function proposals(lang, before) {
  const c = context(lang, before), source = SOURCES[lang];
  if (!c) return { list: [], replace: 0 };
  let list;
  if (c.what === "value") {
    const values = await once(`${lang} v ${c.label} ${c.selector.slice(0, -c.word.length || undefined)}`, () => source.values(c.label, c.selector));
    list = values.map((v) => (v.bare !== undefined ? { text: v.bare, insert: v.bare, kind: "value" }
      : { text: v, insert: c.quoted ? JSON.stringify(v).slice(1, -1) : JSON.stringify(v), kind: "value" }));
  } else if (c.what === "label") {
    const labels = await once(`${lang} l ${closed(c.selector)}`, () => source.labels(c.selector));
    const written = { promql: labelName, traceql: attributeName }[lang] ?? ((l) => l);
    list = labels.map((l) => ({ text: l, insert: written(l), kind: "label" }));
    if (lang === "traceql") list.push(...LANGS.traceql.intrinsics.map((i) => ({ text: i, insert: i, kind: "label" })));
  } else {
    const names = await once(`${lang} n`, () => source.names());
    list = [...LANGS[lang].functions.map((f) => ({ text: f, insert: `${f}(`, kind: "function" })),
      ...LANGS[lang].keywords.map((k) => ({ text: k, insert: k, kind: "keyword" })), ...names.map((n) => ({ text: n, insert: metricName(n), kind: "name" }))];
  }
  return { list: rank(c.word, list), replace: c.word.length };
}
