// Prometheus' words for a range: how long, and its end in UTC ("2026-01-31 14:00:00").

import { HOUR, parseDuration } from "./time.js";

export function inputToTime(length, end) {
  const ms = parseDuration(length ?? "") || HOUR;
  const to = end ? Date.parse(`${end.replace(" ", "T")}Z`) : NaN;
  if (Number.isNaN(to)) return length ? { from: `now-${length}`, to: "now" } : {};
  return { from: String(to - ms), to: String(to) };
}
