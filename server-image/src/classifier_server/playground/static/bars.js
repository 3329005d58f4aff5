// Probabilities as bars, the highest first, with each label's threshold marked.

import { draw, el, fill } from "./dom.js";
import { count, percent } from "./format.js";

const SHOWN = 10;

/**
 * The bars of {label: probability}. `labels` are those that count as predicted; `thresholds` gives a label's threshold,
 * or null where the most probable label wins.
 */
export function bars(shares, labels, thresholds) {
  const order = [...shares].sort((one, other) => other[1] - one[1]);
  const list = el("ol", { class: "bars" });
  // A label that counts is never left out.
  const least = order.filter(([label], index) => index < SHOWN || labels.includes(label));
  const render = (some) => fill(list, some.map(([label, share]) => bar(label, share, labels.includes(label), thresholds(label))));
  const shown = order.length - least.length > 1 ? least : order;
  render(shown);
  if (shown === order) return [list];
  const button = el("button", { type: "button", class: "link" }, `Show all ${count(order.length)} labels`);
  button.addEventListener("click", () => {
    const all = button.getAttribute("aria-expanded") === "true";
    render(all ? shown : order);
    button.setAttribute("aria-expanded", String(!all));
    button.textContent = all ? `Show all ${count(order.length)} labels` : "Show fewer labels";
  });
  button.setAttribute("aria-expanded", "false");
  return [list, button];
}

function bar(label, share, counts, threshold) {
  const track = draw("svg", { class: "track", width: "100%", height: 10, "aria-hidden": "true" });
  track.append(
    draw("rect", { class: "whole", width: "100%", height: 10, rx: 3 }),
    draw("rect", { class: "part", width: `${(100 * share).toFixed(2)}%`, height: 10, rx: 3 }),
  );
  if (threshold !== null) {
    const x = `${(100 * threshold).toFixed(2)}%`;
    const line = { x1: x, x2: x, y1: -3, y2: 13 };
    track.append(draw("line", { class: "halo", ...line }), draw("line", { class: "mark", ...line }));
  }
  const told = threshold === null ? "" : `, ${counts ? "reaches" : "is below"} its threshold of ${percent(threshold)}`;
  return el(
    "li",
    { class: counts ? "bar counts" : "bar", title: threshold === null ? undefined : `threshold ${percent(threshold)}` },
    el("bdi", { class: "name" }, label),
    track,
    el("span", { class: "share" }, percent(share)),
    told && el("span", { class: "unseen" }, told),
  );
}
