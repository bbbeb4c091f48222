// Where a newcomer lands: is it alive, is something wrong, where to go.

import { el, fill, trouble } from "./dom.js";
import { ask, getText, isAborted } from "./http.js";
import { href } from "./router.js";
import { showNumber } from "./number.js";

function card(title, to, text) {
  const body = el("p", null, "…");
  return { node: el("section", { class: "card" }, el("h2", null, el("a", { href: to }, title)), el("p", { class: "dim" }, text), body), body };
}

async function into(card, work) {
  try {
    fill(card.body, await work());
  } catch (e) {
    if (!isAborted(e)) fill(card.body, trouble(e));
  }
}

export function show(root, params, signal) {
  const state = card("Cluster", href("cluster"), "The processes, their ring, and blocks in the bucket.");
  const alerts = card("Alerts", href("alerts"), "What rules find wrong now.");
  const metrics = card("Metrics", href("explore", { lang: "promql" }), "PromQL, exemplars and histograms.");
  const logs = card("Logs", href("explore", { lang: "logql" }), "LogQL, fields, context and live tail.");
  const traces = card("Traces", href("explore", { lang: "traceql" }), "TraceQL, waterfalls and the service graph.");
  root.append(el("h1", { class: "off" }, "Orrery"), el("div", { class: "cards" }, [metrics, logs, traces, alerts, state].map((c) => c.node)));
  into(state, async () => `This process: ${(await getText("/ready", {}, signal)).trim()}`);
  into(alerts, async () => {
    const { data } = await ask("/api/v1/alerts", {}, signal);
    const firing = data.alerts.filter((a) => a.state === "firing").length;
    return firing ? el("strong", { class: "bad" }, `${firing} firing`) : "None is firing.";
  });
  into(metrics, async () => {
    const { data } = await ask("/api/v1/label/__name__/values", { limit: 10000 }, signal);
    return data.length ? `${showNumber(data.length)} names` : "Nothing has been sent: point a Prometheus' remote_write at /api/v1/push.";
  });
  into(logs, async () => {
    const { data } = await ask("/loki/api/v1/labels", {}, signal);
    return data?.length ? `${data.length} labels: ${data.slice(0, 8).join(", ")}` : "No lines: push them to /loki/api/v1/push, or by OTLP.";
  });
  into(traces, async () => {
    const body = await ask("/jaeger/api/services", {}, signal);
    return body.data?.length ? `${body.data.length} services: ${body.data.slice(0, 8).join(", ")}` : "No spans: send them by OTLP to port 4317 or 4318.";
  });
}
