// What the editor knows of the three languages: words, colours, and where the cursor stands. Servers judge queries; this only helps to write them.

const PROM_FUNCTIONS = `abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min cos cosh count_over_time
day_of_month day_of_week day_of_year days_in_month deg delta deriv double_exponential_smoothing exp floor histogram_avg histogram_count histogram_fraction histogram_quantile
histogram_stddev histogram_stdvar histogram_sum hour idelta increase info irate label_join label_replace last_over_time ln log10 log2 mad_over_time max_over_time min_over_time
minute month pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_by_label sort_by_label_desc sort_desc sqrt
stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector year`.split(/\s+/);
const PROM_KEYWORDS = `sum avg min max count group stddev stdvar topk bottomk quantile count_values limitk limit_ratio by without on ignoring group_left group_right offset bool and or unless
atan2 start end`.split(/\s+/);
const LOG_FUNCTIONS = `rate count_over_time bytes_rate bytes_over_time absent_over_time rate_counter sum_over_time avg_over_time max_over_time min_over_time first_over_time last_over_time
stdvar_over_time stddev_over_time quantile_over_time duration duration_seconds bytes ip label_replace vector`.split(/\s+/);
const LOG_KEYWORDS = `json logfmt regexp pattern unpack line_format label_format decolorize drop keep unwrap sum avg min max count stddev stdvar topk bottomk approx_topk sort sort_desc by without
on ignoring group_left group_right offset bool and or unless`.split(/\s+/);
const TRACE_FUNCTIONS = `count sum avg min max rate count_over_time sum_over_time avg_over_time min_over_time max_over_time quantile_over_time histogram_over_time compare topk bottomk
select coalesce`.split(/\s+/);
const TRACE_KEYWORDS = "by with true false nil ok error unset server client producer consumer internal unspecified".split(" ");
const TRACE_INTRINSICS = `name status statusMessage kind duration rootName rootServiceName traceDuration childCount nestedSetLeft nestedSetRight nestedSetParent span:id span:name span:duration span:status
span:kind span:statusMessage span:parentID trace:id trace:duration trace:rootName trace:rootService event:name event:timeSinceStart link:spanID link:traceID instrumentation:name
instrumentation:version`.split(/\s+/);

export const LANGS = {
  promql: { title: "Metrics", name: "PromQL", functions: PROM_FUNCTIONS, keywords: PROM_KEYWORDS, example: "sum by (job) (rate(http_requests_total[5m]))" },
  logql: { title: "Logs", name: "LogQL", functions: LOG_FUNCTIONS, keywords: LOG_KEYWORDS, example: '{service_name="checkout"} |= "error"' },
  traceql: { title: "Traces", name: "TraceQL", functions: TRACE_FUNCTIONS, keywords: TRACE_KEYWORDS, intrinsics: TRACE_INTRINSICS, example: '{ resource.service.name = "checkout" && status = error }' },
};

const TOKEN = {
  promql: /(?<comment>#[^\n]*)|(?<string>"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|`[^`]*`?)|(?<number>\b(?:0x[\da-f]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?(?:ms|[smhdwy])?(?:\d+(?:ms|[smhdwy]))*)\b)|(?<word>[A-Za-z_:][\w:]*)|(?<op>=~|!~|!=|==|>=|<=|[-+*\/%^<>=@])|(?<punct>[()[\]{},])/gi,
  logql: /(?<comment>#[^\n]*)|(?<string>"(?:[^"\\\n]|\\.)*"?|`[^`]*`?)|(?<number>\b\d[\d.]*(?:e[-+]?\d+)?(?:[a-z][a-z\d]*)?\b)|(?<word>[A-Za-z_]\w*)|(?<op>\|=|\|~|\|>|!>|!~|!=|=~|==|>=|<=|\||[-+*\/%^<>=@])|(?<punct>[()[\]{},])/gi,
  traceql: /(?<comment>\/\/[^\n]*)|(?<string>"(?:[^"\\\n]|\\.)*"?|`[^`]*`?)|(?<number>\b\d[\d.]*(?:ns|us|µs|ms|[smh])?(?:\d+(?:ms|[smh]))*\b)|(?<word>(?:(?:resource|span|event|link|instrumentation|parent|trace)[.:])?\.?[A-Za-z_][\w.:\/-]*|\.[A-Za-z_][\w.\/-]*)|(?<op>!>>|!<<|!>|!<|!~|&>>|&<<|&>|&<|&~|>>|<<|=~|!=|>=|<=|&&|\|\||\||[-+*\/%^<>=~!])|(?<punct>[()[\]{},])/gi,
};

function kindOfWord(lang, word, after) {
  const known = LANGS[lang];
  const lower = word.toLowerCase();
  if (known.keywords.includes(lower)) return "keyword";
  if (known.functions.includes(lower) && (/^\s*[({[]/.test(after) || /^\s*(?:by|without)\b/.test(after))) return "function";
  if (/^\s*(?:=~|!~|!=|=(?!=))/.test(after)) return "label";
  if (lang === "traceql" && (word.includes(".") || known.intrinsics.includes(word))) return "label";
  return "name";
}

// [{text, kind}], whose texts are the query again, byte for byte.
export function tokens(lang, text) {
  const out = [];
  let end = 0;
  for (const m of text.matchAll(TOKEN[lang])) {
    if (!m[0]) continue;
    if (m.index > end) out.push({ text: text.slice(end, m.index), kind: "space" });
    const kind = Object.entries(m.groups).find(([, v]) => v !== undefined)[0];
    end = m.index + m[0].length;
    out.push({ text: m[0], kind: kind === "word" ? kindOfWord(lang, m[0], text.slice(end)) : kind });
  }
  if (end < text.length) out.push({ text: text.slice(end), kind: "space" });
  return out;
}

// Where the cursor stands: {what: "value", label, selector} | {what: "label", selector} | {what: "word"} with the word before it; null where
// nothing can be proposed. selector: what stands before in the same braces, with the name of a metric before them.
export function context(lang, before) {
  const open = braces(lang, before);
  if (open >= 0) {
    const inside = before.slice(open + 1);
    const selector = (lang === "promql" ? /[A-Za-z_:][\w:]*$/.exec(before.slice(0, open).trimEnd())?.[0] ?? "" : "") + before.slice(open);
    const value = /([\w.:/-]+)\s*(?:=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)|([\w-]*))$/.exec(inside);
    if (value && (value[2] !== undefined || lang === "traceql")) return { what: "value", label: value[1], word: value[2] ?? value[3], quoted: value[2] !== undefined, selector };
    if (quoted(inside)) return null;
    const word = /[A-Za-z_.][\w.:/-]*$/.exec(inside)?.[0] ?? "";
    return { what: "label", word, selector };
  }
  if (quoted(before)) return null;
  const by = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)$/.exec(before);
  if (by) return { what: "label", word: /[\w.:/-]*$/.exec(by[1])[0], selector: "" };
  const word = /[A-Za-z_:][\w:]*$/.exec(before)?.[0] ?? "";
  return word ? { what: "word", word } : null;
}

function quoted(text) {
  return (text.replace(/\\./g, "").match(/"/g)?.length ?? 0) % 2 === 1;
}

// The innermost brace that is open, outside of strings; -1 if there is none.
function braces(lang, text) {
  const open = [];
  let at = 0;
  for (const t of tokens(lang, text)) {
    if (t.kind === "punct" && t.text === "{") open.push(at);
    if (t.kind === "punct" && t.text === "}") open.pop();
    at += t.text.length;
  }
  return open.length ? open[open.length - 1] : -1;
}

// Where in the query an error message points to, as an offset; -1 if it does not say.
export function errorAt(message, query) {
  const m = /line (\d+), (?:col|column) (\d+)/.exec(message) ?? /(?:^|[^\d:])(\d+):(\d+): (?:parse )?error/.exec(message) ?? /\b(\d+):(\d+)\b/.exec(message);
  if (!m) return -1;
  const lines = query.split("\n"), line = Number(m[1]) - 1;
  if (line < 0 || line >= lines.length) return -1;
  const before = lines.slice(0, line).reduce((sum, l) => sum + l.length + 1, 0);
  return Math.max(0, Math.min(query.length, before + Number(m[2]) - 1));
}

export function quote(text) {
  return JSON.stringify(text);
}

// The name of a label as PromQL and matchers of alerts take it: what is not of letters, digits and _ is quoted.
export function labelName(name) {
  return /^[A-Za-z_]\w*$/.test(name) ? name : quote(name);
}

// The name of a metric where one may stand alone.
export function metricName(name) {
  return /^[A-Za-z_:][\w:]*$/.test(name) ? name : `{${quote(name)}}`;
}

// A series as a selector of PromQL.
export function seriesSelector(labels) {
  const { __name__: name = "", ...rest } = labels;
  const isPlain = !metricName(name).startsWith("{");
  return `${isPlain ? name : ""}{${[...(name && !isPlain ? [quote(name)] : []), ...Object.entries(rest).map(([k, v]) => `${labelName(k)}=${quote(v)}`)].join(", ")}}`;
}

// scope.name or .name of TraceQL.
export function attributeName(name) {
  const dot = name.indexOf(".");
  return dot < 0 || /^[A-Za-z_][\w.:/-]*$/.test(name.slice(dot + 1)) ? name : `${name.slice(0, dot + 1)}${quote(name.slice(dot + 1))}`;
}
