// Numbers for people. The page is in English, so its numbers are too.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const thousandths = new Intl.NumberFormat("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });

export const count = (value) => whole.format(value);

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** 0.973 as 97.3%; what is not quite all or nothing is never shown as if it were. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share >= 0.9995) return ">99.9%";
  return share === 1 ? "100%" : share === 0 ? "0%" : `${tenths.format(100 * share)}%`;
}

export const score = (value) => thousandths.format(value);

/** Milliseconds as 0.4 ms, 18 ms or 7.9 s. */
export function milliseconds(value) {
  if (value >= 59_950) return duration(value / 1000);
  if (value >= 999.5) return `${tenths.format(value / 1000)} s`;
  return value < 9.95 ? `${tenths.format(value)} ms` : `${whole.format(value)} ms`;
}

/** Seconds as 8 s, 3 min or 2 h 5 min. */
export function duration(seconds) {
  if (seconds < 59.5) return `${whole.format(Math.max(1, seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export function bytes(value) {
  if (value < 1000) return `${value} B`;
  return value < 1e6 ? `${tenths.format(value / 1e3)} kB` : `${tenths.format(value / 1e6)} MB`;
}
