// Numbers for people, and the ticks of a scale.

const LARGE = ["", "k", "M", "G", "T", "P", "E"];

export function showNumber(v, digits = 4) {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf";
  const abs = Math.abs(v);
  if (abs !== 0 && (abs < 1e-4 || abs >= 1e21)) return v.toExponential(2);
  if (abs < 1000) return String(+v.toPrecision(digits));
  const i = Math.min(LARGE.length - 1, Math.floor(Math.log10(abs) / 3));
  return `${+(v / 1000 ** i).toPrecision(digits)} ${LARGE[i]}`;
}

export function showBytes(v) {
  if (!Number.isFinite(v)) return showNumber(v);
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const i = v === 0 ? 0 : Math.max(0, Math.min(units.length - 1, Math.floor(Math.log2(Math.abs(v)) / 10)));
  return `${+(v / 1024 ** i).toPrecision(3)} ${units[i]}`;
}

// Whether they are as good as one: what is between them is the noise of sums of fractions, and too little for steps between them to be told apart.
export function isSame(min, max) {
  return !(max - min > Math.max(Math.abs(min), Math.abs(max)) * 1e-14);
}

export function niceTicks(min, max, most) {
  if (isSame(min, max)) {
    const pad = Math.abs(min) || 1;
    return niceTicks(min - pad / 2, min + pad / 2, most);
  }
  const raw = (max - min) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * (1 - 1e-9)) ?? 10 * power;
  const ticks = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max + step * 1e-9; i++) ticks.push(i * step);
  return ticks;
}

// A value of an API: "NaN", "+Inf" or a number, as text.
export function parseValue(text) {
  if (text === "+Inf" || text === "Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text);
}

const COLORS = ["#3f8fd2", "#e0763a", "#43a35c", "#c94f6d", "#8d6fc9", "#b59a2b", "#2fa3a0", "#d573c3", "#7c8b99", "#9a6640",
  "#5c77ff", "#7fae2e"];

export function color(i) {
  return COLORS[i % COLORS.length];
}

// The same for a name whenever and wherever it is shown.
export function colorOf(name) {
  let h = 0;
  for (let i = 0; i < name.length; i++) h = (Math.imul(h, 31) + name.charCodeAt(i)) >>> 0;
  return COLORS[h % COLORS.length];
}

export function labelsText(labels) {
  const { __name__: name = "", ...rest } = labels;
  const inner = Object.entries(rest).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(", ");
  return inner || !name ? `${name}{${inner}}` : name;
}
