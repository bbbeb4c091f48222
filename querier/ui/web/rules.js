// Rules: what each group asks, how it fares, and what its alerts say.

import { add, el, empty, fill, trouble } from "./dom.js";
import { ask, isAborted } from "./http.js";
import { href, change } from "./router.js";
import { ago, showDuration } from "./time.js";

const PAGE = 200;

export function languageOf(group) {
  return group.language === "logql" ? "logql" : "promql";
}

function rule(r, lang) {
  const bad = r.health && r.health !== "ok" && r.health !== "unknown";
  return el("li", { class: `rule ${r.state ?? ""}` },
    el("div", { class: "row" }, el("b", null, r.name), el("span", { class: "dim" }, r.type), r.state && el("span", { class: `state ${r.state}` }, r.state), bad && el("span", { class: "state bad" }, r.health),
      el("span", { class: "dim" }, r.evaluationTime === undefined ? "" : `${showDuration(r.evaluationTime * 1000)}, ${ago(Date.parse(r.lastEvaluation))}`)),
    el("a", { class: "code block", href: href("explore", { lang, q: r.query }) }, r.query),
    r.lastError && el("p", { class: "bad" }, r.lastError), r.duration > 0 && el("span", { class: "dim" }, `for ${showDuration(r.duration * 1000)}`),
    (r.alerts ?? []).slice(0, 20).map((a) => el("div", { class: "chip code" }, `${a.state} ${JSON.stringify(a.labels)}`)));
}

export function show(root, params, signal) {
  const box = el("div", { "aria-busy": "true" }, empty("Asking…"));
  const only = el("select", { "aria-label": "Kind of rules", onchange: () => change({ type: only.value || null }) }, [["", "all"], ["alert", "alerting"], ["record", "recording"]].map(([v, t]) => el("option", { value: v, selected: v === (params.get("type") ?? "") }, t)));
  const search = el("input", { type: "search", placeholder: "name of a rule", "aria-label": "Name of a rule", value: params.get("name") ?? "", onchange: () => change({ name: search.value || null }) });
  add(root, el("h1", null, "Rules"), el("div", { class: "row" }, only, search), box);
  (async () => {
    const { data, warnings } = await ask("/api/v1/rules", { type: params.get("type"), group_limit: PAGE }, signal);
    const name = params.get("name") ?? "";
    const groups = data.groups.map((g) => ({ ...g, rules: g.rules.filter((r) => r.name.includes(name)) })).filter((g) => g.rules.length);
    fill(box, warnings.map((w) => el("p", { class: "warning" }, w)), groups.length ? groups.map((g) => el("details", { class: "group", open: groups.length < 20 },
      el("summary", null, el("b", null, g.name), el("span", { class: "dim" }, ` ${g.file} · ${g.rules.length} rules every ${showDuration(g.interval * 1000)}${g.evaluationTime === undefined ? "" : ` · took ${showDuration(g.evaluationTime * 1000)}`}`)),
      el("ul", { class: "alerts" }, g.rules.map((r) => rule(r, languageOf(g)))))) : empty("No rules. Load some: orreryctl rules load FILE…"),
    data.groupNextToken && el("p", { class: "warning" }, `The first ${PAGE} groups are shown.`));
  })().catch((e) => { if (!isAborted(e)) fill(box, trouble(e)); }).finally(() => box.removeAttribute("aria-busy"));
}
