// For operators: the processes and their rings, blocks in the bucket, and what compactors are at.

import { add, el, empty, fill, table, trouble } from "./dom.js";
import { ask, getJson, getText, isAborted } from "./http.js";
import { showBytes, showNumber } from "./number.js";
import { ago, showTime } from "./time.js";

const BLOCKS_SHOWN = 1000;

function panel(root, title, text) {
  const body = el("div", { "aria-busy": "true" }, empty("Asking…"));
  add(root, el("section", { class: "panel" }, el("h2", null, title), text && el("p", { class: "dim" }, text), body));
  return body;
}

function into(body, work) {
  work.then((nodes) => fill(body, nodes)).catch((e) => {
    if (!isAborted(e)) fill(body, e.status === 404 ? empty("This process does not serve it.") : trouble(e));
  }).finally(() => body.removeAttribute("aria-busy"));
}

async function rings(signal) {
  const body = await getJson("/ring", {}, signal);
  return body.rings.map((ring) => table([
    { title: "instance", value: (i) => i.instance, class: "code" }, { title: "zone", value: (i) => i.zone },
    { title: "state", value: (i) => i.state, show: (i) => el("span", { class: `state ${i.healthy ? "ok" : "bad"}` }, i.healthy ? i.state : `${i.state}, not heard of`) },
    { title: "share", class: "num", value: (i) => i.share, show: (i) => `${(i.share * 100).toFixed(1)} %` }, { title: "address", value: (i) => i.http ?? i.rpc, class: "code" }, { title: "since", value: (i) => Date.parse(i.since), show: (i) => ago(Date.parse(i.since)) },
  ], ring.instances, { caption: `${ring.role}${ring.signals?.length ? ` (${[ring.signals].flat().join(", ")})` : ""}: ${ring.active} active, replication ${ring.rf}` }));
}

async function blocks(signal) {
  const { data } = await ask("/api/v1/status/tsdb/blocks", {}, signal);
  if (!data.blocks.length) return empty("No blocks yet: the first is made when a window of two hours is over, or by POST /ingester/flush.");
  return table([{ title: "block", value: (b) => b.ulid, class: "code" }, { title: "from", value: (b) => b.minTime, show: (b) => showTime(b.minTime) }, { title: "to", value: (b) => b.maxTime, show: (b) => showTime(b.maxTime) },
    { title: "level", class: "num", value: (b) => b.compaction.level }, { title: "series", class: "num", value: (b) => b.stats.numSeries, show: (b) => showNumber(b.stats.numSeries) },
    { title: "samples", class: "num", value: (b) => b.stats.numSamples, show: (b) => showNumber(b.stats.numSamples) }], data.blocks, { sort: 1, max: BLOCKS_SHOWN, caption: `${data.blocks.length} blocks of the tenant's metrics` });
}

async function compaction(signal) {
  const body = await getJson("/compactor/status", {}, signal);
  const list = (title, rows) => el("details", { open: rows.length < 20 }, el("summary", null, `${title}: ${rows.length}`), rows.length ? table([
    { title: "signal", value: (r) => r.signal }, { title: "tenant", value: (r) => r.tenant }, { title: "window", value: (r) => r.window, show: (r) => (r.window ? showTime(r.window) : "") },
    { title: "segments", class: "num", value: (r) => r.segments ?? 0 }, { title: "bytes", class: "num", value: (r) => r.bytes ?? 0, show: (r) => showBytes(r.bytes ?? 0) }], rows) : null);
  return [el("p", null, `${body.on_ring ? "On the ring" : "Not on the ring"}; ${body.rounds} rounds, the last ${ago(body.last_round > 1e12 ? body.last_round : body.last_round * 1000)}`),
    body.last_error && el("p", { class: "bad" }, body.last_error), list("Running", body.running ?? []), list("Waiting", body.backlog ?? []),
    el("details", null, el("summary", null, "All of it"), el("pre", { class: "code", tabindex: 0 }, JSON.stringify(body, null, 2)))];
}

export function show(root, params, signal) {
  add(root, el("h1", null, "Cluster"));
  into(panel(root, "This process"), getText("/services", {}, signal).then((t) => el("pre", { class: "code", tabindex: 0 }, t)));
  into(panel(root, "Rings"), rings(signal));
  into(panel(root, "Compaction"), compaction(signal));
  into(panel(root, "Blocks"), blocks(signal));
}
