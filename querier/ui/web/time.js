// Times are milliseconds since 1970. A range is two texts, as in links: "now-1h", "now", or milliseconds.

import { load } from "./store.js";

export const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const LAST = 8.64e15; // that a Date can hold
const UNITS = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY, y: 365 * DAY };
export const QUICK = ["5m", "15m", "1h", "3h", "6h", "12h", "1d", "2d", "7d", "30d", "90d", "1y"];

export function parseDuration(text) {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])/g)];
  if (!parts.length || parts.map((p) => p[0]).join("") !== text) return NaN;
  return parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[unit], 0);
}

// NaN if it is no time.
export function parseTime(text, now) {
  if (/^\d+$/.test(text)) return Number(text);
  const relative = /^now(?:([-+])(.+))?$/.exec(text);
  if (relative) return relative[2] ? now + (relative[1] === "-" ? -1 : 1) * parseDuration(relative[2]) : now;
  return Date.parse(text);
}

export function resolve(range, now = Date.now()) {
  const to = parseTime(range.to, now), from = parseTime(range.from, now);
  return from < to && to <= LAST ? { from, to } : { from: now - HOUR, to: now };
}

const STEPS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800,
  604800, 2592000].map((s) => s * SECOND);

// The smallest usual step that gives no more than so many points.
export function stepFor(range, points) {
  const least = (range.to - range.from) / points;
  return STEPS.find((s) => s >= least) ?? Math.ceil(least / DAY) * DAY;
}

function two(n) {
  return String(n).padStart(2, "0");
}

function parts(ms) {
  const d = new Date(ms);
  return load("utc", false)
    ? [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds(), d.getUTCMilliseconds()]
    : [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds(), d.getMilliseconds()];
}

export function showTime(ms, withMs = false) {
  const [y, mo, d, h, mi, s, milli] = parts(ms);
  return `${y}-${two(mo)}-${two(d)} ${two(h)}:${two(mi)}:${two(s)}${withMs ? "." + String(milli).padStart(3, "0") : ""}`;
}

// As short as the distance between ticks allows.
export function showTick(ms, step) {
  const [, mo, d, h, mi, s] = parts(ms);
  if (step >= DAY) return `${two(mo)}-${two(d)}`;
  if (step >= MINUTE) return h === 0 && mi === 0 ? `${two(mo)}-${two(d)}` : `${two(h)}:${two(mi)}`;
  return `${two(h)}:${two(mi)}:${two(s)}`;
}

export function timeTicks(from, to, most) {
  const step = stepFor({ from, to }, most), isUtc = load("utc", false);
  const offset = (ms) => (isUtc ? 0 : new Date(ms).getTimezoneOffset() * MINUTE);
  const ticks = [], first = offset(from);
  // by the clock on the wall, which may be put forward or back in between
  for (let wall = Math.ceil((from - first) / step) * step; ; wall += step) {
    const t = wall + offset(wall + first);
    if (!(t <= to)) return { ticks, step };
    if (t >= from && !(t <= ticks.at(-1))) ticks.push(t);
  }
}

export function showDuration(ms) {
  if (!Number.isFinite(ms)) return "–";
  const abs = Math.abs(ms);
  if (abs < 0.001) return `${Math.round(ms * 1e6)} ns`;
  if (abs < 1) return `${+(ms * 1000).toPrecision(3)} µs`;
  if (abs < SECOND) return `${+ms.toPrecision(3)} ms`;
  if (abs < MINUTE) return `${+(ms / SECOND).toPrecision(3)} s`;
  const [unit, per, names] = abs < HOUR ? [SECOND, 60, ["min", "s"]] : abs < DAY ? [MINUTE, 60, ["h", "min"]] : [HOUR, 24, ["d", "h"]];
  const n = Math.round(ms / unit); // rounded first: 119.6 s are 2 min 0 s, not 1 min 60 s
  return `${Math.trunc(n / per)} ${names[0]} ${Math.abs(n % per)} ${names[1]}`;
}

export function ago(ms) {
  return Number.isFinite(ms) && ms > 0 ? `${showDuration(Math.max(0, Date.now() - ms))} ago` : "never";
}

export function inSeconds(ms) {
  return (ms / 1000).toFixed(3);
}

export function inNanos(ms) {
  return (BigInt(Math.round(ms)) * 1000000n).toString();
}
