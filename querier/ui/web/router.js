// The address is the state: a page is /ui/NAME, all it shows is in its parameters, so every view is a link that can be sent.
// The range of time goes along from page to page.

import { load, save } from "./store.js";
import { resolve } from "./time.js";

let listener = () => {};

export function here() {
  const path = location.pathname;
  const page = path === "/graph" || path === "/explore" ? "graph" : path.replace(/^\/ui\/?/, "").replace(/\/+$/, "") || "home";
  return { page, params: new URLSearchParams(location.search) };
}

export function range() {
  const { params } = here();
  const kept = load("range", { from: "now-1h", to: "now" });
  return { from: params.get("from") ?? kept.from, to: params.get("to") ?? kept.to };
}

export function resolvedRange() {
  return resolve(range());
}

function address(page, params) {
  const search = new URLSearchParams();
  for (const [k, v] of Object.entries(params ?? {}))
    for (const one of Array.isArray(v) ? v : [v])
      if (one !== undefined && one !== null && one !== "") search.append(k, one);
  const text = search.toString();
  return `/ui/${page === "home" ? "" : page}${text ? "?" + text : ""}`;
}

// With the range that is looked at, unless params say another.
export function href(page, params) {
  return address(page, { ...range(), ...params });
}

export function go(page, params, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href(page, params));
  listener();
}

// Other parameters of this page; null takes one away.
export function change(params, { replace = false, quiet = false } = {}) {
  const { page, params: now } = here();
  const all = {};
  for (const k of now.keys()) all[k] = now.getAll(k);
  Object.assign(all, params);
  if (params.from || params.to) save("range", { from: params.from ?? range().from, to: params.to ?? range().to });
  history[replace ? "replaceState" : "pushState"](null, "", address(page, all));
  if (!quiet) listener();
}

export function start(onChange) {
  listener = onChange;
  addEventListener("popstate", onChange);
  // links of our own are followed here, unless a new window is wanted
  document.addEventListener("click", (e) => {
    const a = e.target.closest?.("a[href]");
    if (!a || e.defaultPrevented || e.button || e.ctrlKey || e.metaKey || e.shiftKey || a.target || a.origin !== location.origin ||
        !(a.pathname.startsWith("/ui/") || ["/graph", "/explore"].includes(a.pathname)) || a.hasAttribute("download") || a.hash)
      return;
    e.preventDefault();
    history.pushState(null, "", a.href);
    onChange();
  });
  onChange();
}
