// LogQL: lines with a histogram of their levels, their context and live tail; or, for metric queries, a graph.

import { add, button, el, empty, fill, say, trouble } from "./dom.js";
import { ask, isAborted, tenant, url } from "./http.js";
import { events } from "./events.js";
import { fieldsBox } from "./logfields.js";
import { labelsText, color, parseValue } from "./number.js";
import { lineRow, linesOf, logList, msOf, narrowed, selectorOf } from "./logview.js";
import { change, resolvedRange } from "./router.js";
import { inNanos, MINUTE, showTime, stepFor } from "./time.js";
import { plot } from "./plot.js";

const LIMIT = 500, BARS = 60, POINTS = 600, TAIL_MAX = 1000, TAIL_ASK = 1000, AROUND = 25, POLL_MS = 1000;
const APART = { "X-Loki-Response-Encoding-Flags": "categorize-labels" };
const LEVEL_COLORS = { critical: "#b3261e", fatal: "#b3261e", error: "#d9483b", warn: "#d98e2b", warning: "#d98e2b", info: "#3f8fd2", debug: "#7c8b99", trace: "#a9b4be" };

// A query of lines begins with its selector; one of numbers with a function.
export function isOfLines(query) {
  return /^\s*\{/.test(query);
}

async function histogram(box, query, range, signal) {
  const step = Math.max(1000, stepFor(range, BARS));
  const { data } = await ask("/loki/api/v1/query_range", {
    query: `sum by (detected_level) (count_over_time(${query} [${step / 1000}s]))`, start: inNanos(range.from), end: inNanos(range.to), step: `${step / 1000}s`,
  }, signal);
  const series = data.result.map((s, i) => {
    const level = s.metric.detected_level ?? "unknown";
    return { name: level, labels: s.metric, color: LEVEL_COLORS[level] ?? color(i + 4), points: s.values.map(([t, v]) => [t * 1000, parseValue(v)]) };
  });
  const marks = await events(range, signal);
  return plot(box, { series, from: range.from, to: range.to, step, marks, label: `Lines in ${step / 1000} s, by level`, onZoom: (from, to) => change({ from: String(from), to: String(to) }) });
}

async function around(l, list, signal) {
  const query = selectorOf(l.labels), at = BigInt(l.ns), far = 3600000000000n;
  const one = async (start, end, direction) => linesOf((await ask("/loki/api/v1/query_range", { query, start: String(start), end: String(end), limit: AROUND, direction }, signal, APART)).data.result);
  const [before, after] = await Promise.all([one(at - far, at, "backward"), one(at, at + far, "forward")]);
  const dialog = el("dialog", { "aria-label": "Lines around", class: "wide" }, el("div", { class: "row" }, el("h2", null, query), button("Close", () => dialog.close())));
  const all = [...after, ...before].filter((x, i, every) => every.findIndex((y) => y.ns === x.ns && y.line === x.line) === i).sort((a, b) => (BigInt(a.ns) < BigInt(b.ns) ? 1 : -1));
  add(dialog, logList(all, {}));
  [...dialog.querySelectorAll(".logline")].forEach((row, i) => { if (all[i].ns === l.ns && all[i].line === l.line) row.classList.add("here"); });
  list.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  dialog.querySelector(".here")?.scrollIntoView({ block: "center" });
}

// New lines as they come: by a websocket, or by asking again each second where a tenant is named, as browsers send no header with a websocket.
function tail(query, onLines, onEnd, signal) {
  const socketUrl = new URL(url("/loki/api/v1/tail", { query, limit: 100 }), location.href);
  socketUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (!tenant()) {
    const socket = new WebSocket(socketUrl);
    socket.onmessage = (m) => onLines(linesOf(JSON.parse(m.data).streams ?? []));
    socket.onclose = (e) => onEnd(e.reason || (e.code === 1000 ? "" : `the connection closed (${e.code})`));
    return () => socket.close();
  }
  let since = BigInt(Date.now() - MINUTE) * 1000000n, timer;
  const poll = async () => {
    try {
      const lines = linesOf((await ask("/loki/api/v1/query_range", { query, start: String(since), end: inNanos(Date.now()), limit: TAIL_ASK, direction: "forward" }, signal, APART)).data.result);
      if (lines.length) since = BigInt(lines[0].ns) + 1n;
      onLines(lines);
      timer = setTimeout(poll, lines.length < TAIL_ASK ? POLL_MS : 0);
    } catch (e) { onEnd(isAborted(e) ? "" : e.message); }
  };
  poll();
  return () => clearTimeout(timer);
}

function tailView(box, query, signal, actions) {
  const list = el("ol", { class: "loglines", "aria-label": "Log lines as they come" });
  const state = el("span", { class: "dim", role: "status" }, "waiting for lines");
  let isPaused = false, held = [], count = 0;
  const put = (lines) => {
    count += lines.length;
    state.textContent = `${count} lines`;
    if (isPaused) { held = [...lines, ...held].slice(0, TAIL_MAX); return; }
    list.prepend(...lines.map((l) => lineRow(l, actions)));
    while (list.children.length > TAIL_MAX) list.lastChild.remove();
  };
  const pause = button("Pause", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) { list.prepend(...held.map((l) => lineRow(l, actions))); held = []; }
  });
  fill(box, el("div", { class: "row" }, pause, state), list);
  return tail(query, put, (why) => { state.textContent = `ended${why ? `: ${why}` : ""}`; }, signal);
}

async function showLines(box, query, range, signal, cleanups, narrow) {
  const chart = el("div", { class: "chart" }), list = el("div", { class: "panel" });
  fill(box, chart, fieldsBox(query, range, signal, narrow), list);
  const drawn = histogram(chart, query, range, signal).then((c) => cleanups.push(c)).catch((e) => { if (!isAborted(e)) fill(chart, trouble(e)); });
  const context = (l) => around(l, list, signal).catch((e) => { if (!isAborted(e)) say(e.message); });
  const actions = { narrow, context };
  const page = async (end) => {
    const { data } = await ask("/loki/api/v1/query_range", { query, start: inNanos(range.from), end, limit: LIMIT, direction: "backward" }, signal, APART);
    return linesOf(data.result);
  };
  const lines = await page(inNanos(range.to));
  if (!lines.length) { fill(list, empty("No lines in this range.")); return drawn; }
  const ol = logList(lines, actions);
  const older = button("Older lines", async () => {
    older.disabled = true; // pressed twice, it would bring the same twice
    try {
      const more = await page(lines[lines.length - 1].ns);
      if (!more.length) { say("There are no older lines in this range"); return; }
      lines.push(...more);
      ol.append(...more.map((l) => lineRow(l, actions)));
      older.disabled = false;
    } catch (e) {
      older.disabled = false;
      if (!isAborted(e)) say(e.message);
    }
  });
  fill(list, el("p", { class: "dim" }, `${lines.length} lines${lines.length === LIMIT ? ", the newest" : ""}: ${showTime(msOf(lines.at(-1).ns))} to ${showTime(msOf(lines[0].ns))}`),
    ol, lines.length === LIMIT && older);
  return drawn;
}

async function showNumbers(box, query, range, signal, cleanups) {
  const step = Math.max(1000, stepFor(range, POINTS));
  const { data } = await ask("/loki/api/v1/query_range", { query, start: inNanos(range.from), end: inNanos(range.to), step: `${step / 1000}s` }, signal);
  const marks = await events(range, signal);
  if (!data.result.length) return fill(box, empty("No data in this range."));
  cleanups.push(plot(box, {
    series: data.result.map((s, i) => ({ name: labelsText(s.metric), labels: s.metric, color: color(i), points: s.values.map(([t, v]) => [t * 1000, parseValue(v)]) })),
    from: range.from, to: range.to, step, marks, onZoom: (from, to) => change({ from: String(from), to: String(to) }), label: "Result",
  }));
  return box;
}

export function show(root, { queries, params, signal, fail }) {
  const query = queries[0], range = resolvedRange(), cleanups = [];
  if (!query) {
    fill(root, empty("Write a query: a selector in braces, such as {service_name=\"checkout\"}. Labels are proposed as you type."));
    return () => {};
  }
  const live = params.get("view") === "tail";
  const narrow = (kind, name, value, op, parser) => change({ q: [narrowed(query, kind, name, value, op, parser)] });
  const box = el("div", { "aria-busy": "true" });
  fill(root, isOfLines(query) && el("div", { class: "row" }, button(live ? "Stop the tail" : "Live tail", () => change({ view: live ? null : "tail" }), { "aria-pressed": String(live) })), box);
  if (live && isOfLines(query)) cleanups.push(tailView(box, query, signal, { narrow }));
  else {
    const work = isOfLines(query) ? showLines(box, query, range, signal, cleanups, narrow) : showNumbers(box, query, range, signal, cleanups);
    work.catch((e) => { if (!isAborted(e)) { fill(box, empty("The query failed.")); fail(0, e); } }).finally(() => box.removeAttribute("aria-busy"));
  }
  return () => cleanups.forEach((c) => c());
}
