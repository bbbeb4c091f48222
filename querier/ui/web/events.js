// Deployments, flag changes and the like, as marks of a graph.

import { ask } from "./http.js";
import { inNanos } from "./time.js";

const MAX = 200;

export async function events(range, signal) {
  try {
    const { data } = await ask("/api/v1/events", { start: inNanos(range.from), end: inNanos(range.to), limit: MAX }, signal);
    return (data ?? []).map((e) => ({
      t: Date.parse(e.time), end: e.end ? Date.parse(e.end) : 0, kind: e.kind, text: [e.service, e.title].filter(Boolean).join(": "), attributes: e.attributes ?? {},
    }));
  } catch (e) {
    if (e.name === "AbortError") throw e;
    return []; // a graph is a graph without them: a tenant may have no logs
  }
}
