// Explore: a query in one of three languages, and what answers it. The address holds language and queries.

import { add, button, el, trouble } from "./dom.js";
import { change, here, href } from "./router.js";
import { editor } from "./editor.js";
import { LANGS } from "./lang.js";
import { remember, remembered } from "./store.js";
import { isAborted } from "./http.js";

const VIEWS = { promql: "./explore_metrics.js", logql: "./explore_logs.js", traceql: "./explore_traces.js" };
const QUERIES_MAX = 8;

function tabs(lang) {
  return el("div", { class: "tabs", role: "group", "aria-label": "Language" }, Object.entries(LANGS).map(([name, l]) =>
    el("a", { href: href("explore", { lang: name }), "aria-current": name === lang ? "true" : null }, l.title, el("small", null, l.name))));
}

function historyBox(lang, pick) {
  const list = remembered(lang);
  return el("details", { class: "history" }, el("summary", null, "History"),
    list.length ? el("ul", null, list.slice(0, 30).map((q) => el("li", null, button(q, () => pick(q), { class: "quiet code" })))) : el("p", { class: "empty" }, "Nothing was asked yet."));
}

export function show(root, params, signal) {
  const lang = VIEWS[params.get("lang")] ? params.get("lang") : "promql";
  const asked = params.getAll("q").slice(0, QUERIES_MAX);
  const editors = [];
  const run = () => {
    const queries = editors.map((e) => e.value()).filter(Boolean);
    for (const q of queries) remember(lang, q);
    change({ lang, q: queries });
  };
  const list = el("div", { class: "editors" });
  const addEditor = (value) => {
    const e = editor({ lang, value, onRun: run });
    editors.push(e);
    list.append(editors.length > 1 ? el("div", { class: "row" }, e.node, button("×", () => {
      editors.splice(editors.indexOf(e), 1);
      run();
    }, { class: "quiet", "aria-label": "Take this query away" })) : e.node);
    return e;
  };
  for (const q of asked.length ? asked : [""]) addEditor(q);
  const result = el("div", { class: "result", "aria-live": "off" });
  add(root, el("h1", { class: "off" }, "Explore"), tabs(lang), list,
    el("div", { class: "row actions" }, button("Run", run, { class: "main", title: "Enter" }),
      lang === "promql" && button("One more query", () => addEditor("").focus(), { class: "quiet" }),
      historyBox(lang, (q) => { editors[0].set(q); run(); })),
    result);
  if (!asked.length) editors[0].focus();

  let leave = () => {};
  import(VIEWS[lang]).then((view) => {
    if (signal.aborted) return;
    leave = view.show(result, {
      queries: asked, params: here().params, signal,
      // of the i-th query: marked in its editor
      fail: (i, e) => { if (!isAborted(e)) editors[i]?.fail(e.message); },
    }) ?? leave;
  }).catch((e) => { if (!signal.aborted) result.replaceChildren(trouble(e)); });
  return () => leave();
}
