// Links of alerts: as Prometheus makes them, /graph?g0.expr=…&g0.range_input=1h&g0.end_input=…&g0.tab=…, and as Loki's ruler does,
// /explore?left={"queries":[{"expr":…}]}.

import { go } from "./router.js";
import { inputToTime } from "./graphlink.js";

function ofPrometheus(params) {
  const queries = [];
  for (let i = 0; params.has(`g${i}.expr`); i++) queries.push(params.get(`g${i}.expr`));
  const time = inputToTime(params.get("g0.range_input"), params.get("g0.end_input") ?? params.get("g0.moment_input"));
  return { lang: "promql", q: queries, ...time };
}

export function show(root, params) {
  if (!params.has("left")) {
    go("explore", ofPrometheus(params), { replace: true });
    return;
  }
  const left = JSON.parse(params.get("left"));
  go("explore", { lang: "logql", q: (left.queries ?? []).map((q) => q.expr).filter(Boolean), ...left.range }, { replace: true });
}
