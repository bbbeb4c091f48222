// What is wrong now: alerts as the alertmanagers group them, silences, and the configuration that decides who hears of it. Where this process
// does not serve the alertmanagers' API (each role alone, without a proxy before them), the rulers' own list of alerts.

import { add, button, el, empty, fill, say, table, trouble } from "./dom.js";
import { ask, getJson, isAborted, send, tenant } from "./http.js";
import { labelName } from "./lang.js";
import { change, href } from "./router.js";
import { ago, parseDuration, showTime } from "./time.js";
import { load, save } from "./store.js";

const API = "/alertmanager/api/v2";
const TABS = { alerts: "Alerts", silences: "Silences", routing: "Routing" };

// Our own page of the expression: the path and query of the alert's link, whatever host its ruler believes to have.
export function ownLink(generatorUrl) {
  try {
    const u = new URL(generatorUrl, location.href);
    return u.pathname.endsWith("/graph") || u.pathname.endsWith("/explore") ? `${u.pathname.slice(u.pathname.lastIndexOf("/"))}${u.search}` : null;
  } catch {
    return null;
  }
}

function labelChips(labels, without = []) {
  return Object.entries(labels).filter(([k]) => !without.includes(k)).map(([k, v]) => el("span", { class: "chip code" }, `${k}=${v}`));
}

function stateOf(a) {
  if (a.status?.state === "suppressed") return a.status.silencedBy?.length ? "silenced" : a.status.inhibitedBy?.length ? "inhibited" : "suppressed";
  return a.status?.state ?? a.state;
}

function alertRow(a, onSilence) {
  const link = ownLink(a.generatorURL ?? ""), runbook = a.annotations?.runbook_url;
  return el("li", { class: `alert ${stateOf(a)}` },
    el("div", { class: "row" }, el("b", null, a.labels.alertname ?? "alert"), el("span", { class: `state ${stateOf(a)}` }, stateOf(a)), el("span", { class: "dim" }, `since ${ago(Date.parse(a.startsAt ?? a.activeAt))}`)),
    el("p", null, a.annotations?.summary ?? a.annotations?.description ?? ""), el("div", null, labelChips(a.labels, ["alertname"])),
    el("div", { class: "row" }, link && el("a", { class: "button", href: link }, "Its graph"), /^https?:/.test(runbook ?? "") && el("a", { class: "button", href: runbook, target: "_blank", rel: "noopener" }, "Runbook"),
      onSilence && button("Silence", () => onSilence(a))));
}

async function showAlerts(box, signal, params) {
  let groups;
  try {
    groups = await getJson(`${API}/alerts/groups`, params.get("filter") ? { filter: params.getAll("filter") } : {}, signal);
  } catch (e) {
    if (isAborted(e) || e.status !== 404) throw e;
    const { data } = await ask("/api/v1/alerts", {}, signal);
    return fill(box, el("p", { class: "warning" }, "This process does not serve the alertmanagers; these are the rulers' alerts, without groups and silences."),
      data.alerts.length ? el("ul", { class: "alerts" }, data.alerts.map((a) => alertRow({ ...a, generatorURL: null }, null))) : empty("No alert is pending or firing."));
  }
  const silence = (a) => change({ tab: "silences", labels: JSON.stringify(a.labels) });
  return fill(box, groups.length ? groups.map((g) => el("section", { class: "group" },
    el("h2", null, Object.keys(g.labels).length ? labelChips(g.labels) : "not grouped", el("small", { class: "dim" }, ` to ${g.receiver?.name ?? "?"} · ${g.alerts.length} alerts`)),
    el("ul", { class: "alerts" }, g.alerts.map((a) => alertRow(a, silence))))) : empty("No alert is firing."));
}

function matcherText(m) {
  return `${labelName(m.name)}${m.isEqual === false ? (m.isRegex ? "!~" : "!=") : m.isRegex ? "=~" : "="}${JSON.stringify(m.value)}`;
}

// "a=b", one a line, with = != =~ !~, the value quoted or not.
export function parseMatcher(line) {
  const m = /^\s*("(?:[^"\\]|\\.)*"|[^=!~\s]+)\s*(=~|!~|!=|=)\s*(.*?)\s*$/.exec(line);
  if (!m) throw new Error(`no matcher: ${line}`);
  const bare = (t) => (t.startsWith('"') ? JSON.parse(t) : t);
  return { name: bare(m[1]), value: bare(m[3]), isRegex: m[2].endsWith("~"), isEqual: m[2].startsWith("=") };
}

function silenceForm(labels, done) {
  const matchers = el("textarea", { rows: Math.max(2, Object.keys(labels).length), class: "code", value: Object.entries(labels).map(([k, v]) => `${labelName(k)}=${JSON.stringify(v)}`).join("\n"), required: true });
  const length = el("input", { type: "text", value: "2h", size: 6 }), by = el("input", { type: "text", value: load("author", tenant()), required: true });
  const comment = el("input", { type: "text", size: 40, required: true }), error = el("div"), count = el("span", { class: "dim" });
  const preview = async () => {
    try {
      const filter = matchers.value.split("\n").filter((l) => l.trim()).map((l) => matcherText(parseMatcher(l)));
      const list = await getJson(`${API}/alerts`, { filter, silenced: false });
      count.textContent = `${list.length} alerts would be silenced`;
      error.replaceChildren();
    } catch (e) { fill(error, trouble(e)); }
  };
  return el("form", {
    class: "panel", onsubmit: async (ev) => {
      ev.preventDefault();
      const ms = parseDuration(length.value.trim());
      if (!ms) { fill(error, trouble("A silence needs a length, as 30m, 2h or 1d")); return; }
      try {
        save("author", by.value);
        await send("POST", `${API}/silences`, {
          matchers: matchers.value.split("\n").filter((l) => l.trim()).map(parseMatcher), startsAt: new Date().toISOString(), endsAt: new Date(Date.now() + ms).toISOString(), createdBy: by.value, comment: comment.value,
        });
        say("Silenced");
        done();
      } catch (e) { fill(error, trouble(e)); }
    },
  }, el("h2", null, "A new silence"), el("label", null, "Matchers, one a line", matchers), el("div", { class: "row" }, el("label", null, "for", length), el("label", null, "by", by), el("label", null, "why", comment)),
  error, el("div", { class: "row" }, el("button", { type: "submit", class: "main" }, "Silence"), button("What would it silence?", preview), count));
}

async function showSilences(box, signal, params) {
  const list = await getJson(`${API}/silences`, {}, signal);
  let labels = {};
  try { labels = JSON.parse(params.get("labels") ?? "{}"); } catch { /* a link that was cut */ }
  const order = { active: 0, pending: 1, expired: 2 };
  list.sort((a, b) => order[a.status.state] - order[b.status.state] || Date.parse(a.endsAt) - Date.parse(b.endsAt));
  const end = async (s) => {
    try { await send("DELETE", `${API}/silence/${s.id}`); say("Ended"); change({ labels: null }); } catch (e) { say(e.message); }
  };
  return fill(box, silenceForm(labels, () => change({ labels: null })), table([
    { title: "state", value: (s) => order[s.status.state], show: (s) => el("span", { class: `state ${s.status.state}` }, s.status.state) },
    { title: "matchers", value: (s) => s.matchers.map(matcherText).join(", "), show: (s) => el("span", { class: "code" }, s.matchers.map(matcherText).join(", ")) },
    { title: "ends", value: (s) => Date.parse(s.endsAt), show: (s) => showTime(Date.parse(s.endsAt)) }, { title: "by", value: (s) => s.createdBy }, { title: "why", value: (s) => s.comment },
    { title: "", value: () => "", show: (s) => (s.status.state === "expired" ? "" : button("End it", () => end(s))) }], list, { caption: `${list.length} silences` }));
}

async function showRouting(box, signal) {
  const status = await getJson(`${API}/status`, {}, signal);
  return fill(box, el("p", null, `Cluster: ${status.cluster?.status ?? "?"}, ${status.cluster?.peers?.length ?? 0} peers; up since ${status.uptime ? showTime(Date.parse(status.uptime)) : "?"}`),
    el("h2", null, "Configuration"), el("pre", { class: "code", tabindex: 0 }, status.config?.original ?? ""));
}

export function show(root, params, signal) {
  const tab = TABS[params.get("tab")] ? params.get("tab") : "alerts";
  const box = el("div", { "aria-busy": "true" }, empty("Asking…"));
  add(root, el("h1", { class: "off" }, "Alerts"), el("div", { class: "tabs", role: "group", "aria-label": "What is shown" }, Object.entries(TABS).map(([k, t]) => el("a", { href: href("alerts", { tab: k }), "aria-current": k === tab ? "true" : null }, t))), box);
  const work = { alerts: showAlerts, silences: showSilences, routing: showRouting }[tab];
  work(box, signal, params).catch((e) => {
    if (isAborted(e)) return;
    fill(box, trouble(e.status === 404 ? new Error("This process does not serve the alertmanagers: let the proxy before both route /alertmanager to them.") : e));
  }).finally(() => box.removeAttribute("aria-busy"));
}
