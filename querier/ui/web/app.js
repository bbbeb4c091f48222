// The frame around the pages: which one is shown, where to go, whose data, of which time.

import { button, el, fill, say, trouble } from "./dom.js";
import { tenant } from "./http.js";
import { here, href, start } from "./router.js";
import { load, save } from "./store.js";
import { timePicker } from "./timepicker.js";

// name: [title, module, how it is listed]; a page's module exports show(root, params, signal), and may return what to call when it is left
const PAGES = {
  home: ["Start", "./home.js"],
  explore: ["Explore", "./explore.js", "Metrics, logs and traces"],
  trace: ["Trace", "./trace.js"],
  services: ["Services", "./services.js", "Who calls whom"],
  alerts: ["Alerts", "./alerts.js", "What is wrong now, and silences"],
  rules: ["Rules", "./rules.js", "Recording and alerting rules"],
  usage: ["Usage", "./usage.js", "Cardinality and volume"],
  cluster: ["Cluster", "./cluster.js", "Ring, blocks, compaction"],
  graph: ["Explore", "./graph.js"],
};

const main = document.getElementById("main");
let leave = () => {};
let control = new AbortController();
let refreshTimer;

function applyTheme() {
  const theme = load("theme", "auto");
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
}

function themeButton() {
  const order = ["auto", "light", "dark"];
  const b = button("", () => {
    save("theme", order[(order.indexOf(load("theme", "auto")) + 1) % order.length]);
    applyTheme();
    label();
    render();
  }, { class: "quiet" });
  const label = () => {
    const now = load("theme", "auto");
    b.textContent = { auto: "◐", light: "☀", dark: "☾" }[now];
    b.setAttribute("aria-label", `Colours: ${now}. Press to change`);
    b.title = `Colours: ${now}`;
  };
  label();
  return b;
}

function tenantBox() {
  const input = el("input", {
    id: "tenant", type: "text", value: tenant(), placeholder: "tenant", size: 10, maxlength: 300, autocomplete: "off", spellcheck: "false",
    "aria-label": "Tenant (X-Scope-OrgID); empty: the server's default", title: "Tenant; empty: the server's default",
    onchange: () => { save("tenant", input.value.trim()); render(); },
  });
  return input;
}

function refreshBox() {
  const select = el("select", {
    "aria-label": "Refresh by itself", title: "Refresh by itself", onchange: () => { save("refresh", select.value); arm(); },
  }, ["off", "5s", "15s", "1m", "5m"].map((v) => el("option", { value: v, selected: v === load("refresh", "off") }, v)));
  return select;
}

function arm() {
  clearInterval(refreshTimer);
  const every = { "5s": 5000, "15s": 15000, "1m": 60000, "5m": 300000 }[load("refresh", "off")];
  if (every) refreshTimer = setInterval(() => { if (!document.hidden && !isBusy()) render(); }, every);
}

// What is being written or read would be lost by showing the page anew; a tail goes on by itself.
function isBusy() {
  return here().params.get("view") === "tail" || main.querySelector("dialog[open]") || (main.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
}

function top(page) {
  const nav = el("nav", { "aria-label": "Pages" }, Object.entries(PAGES).filter(([, p]) => p[2]).map(([name, [title, , what]]) =>
    el("a", { href: href(name), title: what, "aria-current": name === (page === "graph" ? "explore" : page) ? "page" : null }, title)));
  fill(document.getElementById("top"),
    el("a", { class: "brand", href: href("home"), "aria-label": "Orrery, start" }, el("img", { src: "/ui/icon.svg", alt: "", width: 24, height: 24 }), "Orrery"),
    nav,
    el("div", { class: "tools" }, timePicker(), refreshBox(), button("↻", render, { class: "quiet", "aria-label": "Ask again", title: "Ask again (r)" }), tenantBox(), themeButton()));
}

async function render() {
  const { page, params } = here();
  const known = PAGES[page];
  control.abort();
  control = new AbortController();
  const { signal } = control;
  leave();
  leave = () => {};
  top(page);
  document.title = `${known ? known[0] : "Not found"} · Orrery`;
  if (!known) {
    fill(main, trouble(`There is no page ${page}.`));
    return;
  }
  try {
    const module = await import(known[1]);
    if (signal.aborted) return;
    main.replaceChildren();
    main.dataset.page = page;
    leave = module.show(main, params, signal) ?? (() => {});
  } catch (e) {
    if (!signal.aborted) fill(main, trouble(e));
  }
}

// One key each, where nothing is being typed.
const KEYS = { e: "explore", s: "services", a: "alerts", u: "usage", c: "cluster" };

function onKey(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, textarea, select, [contenteditable]")) return;
  if (e.key === "r") render();
  else if (e.key === "/") {
    const first = main.querySelector("textarea, input");
    if (first) { first.focus(); e.preventDefault(); }
  } else if (e.key === "?") say("e explore · s services · a alerts · u usage · c cluster · r ask again · / to the query");
  else if (KEYS[e.key]) {
    history.pushState(null, "", href(KEYS[e.key]));
    render();
  }
}

applyTheme();
arm();
document.addEventListener("keydown", onKey);
start(render);
