// Drawings of the model card and of a file's results.

import { draw, el } from "./dom.js";
import { count, percent, plural } from "./format.js";

export const MOST_LABELS = 50;

const clipped = (label, most = 18) => (label.length > most ? `${label.slice(0, most - 1)}…` : label);
const short = (rows) => (rows < 10_000 ? String(rows) : `${Math.round(rows / 1000)}k`);

/** A confusion matrix {labels, matrix}: expected labels by row, each row shaded by its own shares. */
export function heatMap({ labels, matrix }) {
  const size = labels.length;
  const side = size <= 4 ? 72 : size <= 12 ? 44 : size <= 24 ? 28 : 18;
  const names = Math.max(92, 14 + 7.4 * Math.max(...labels.map((label) => clipped(label).length)));
  const [width, height] = [names + side * size + 2, names + 28 + side * size];
  const figure = draw("svg", {
    class: "heat",
    viewBox: `0 0 ${width} ${height}`,
    width,
    role: "img",
    "aria-label": "Confusion matrix: expected labels by row, predicted ones by column",
  });
  const top = names + 26;
  figure.append(draw("text", { class: "axis", x: names, y: 14 }, "predicted →"));
  figure.append(draw("text", { class: "axis", x: names - 10, y: names + 14, "text-anchor": "end" }, "expected ↓"));
  labels.forEach((label, place) => {
    const middle = side * (place + 0.5);
    const across = { transform: `translate(${names + middle + 4} ${names + 16}) rotate(-90)` };
    figure.append(
      draw("text", { x: names - 10, y: top + middle + 4, "text-anchor": "end" }, draw("title", {}, label), clipped(label)),
      draw("text", across, draw("title", {}, label), clipped(label)),
    );
  });
  matrix.forEach((values, row) => {
    const total = values.reduce((sum, value) => sum + value, 0);
    values.forEach((rows, column) => {
      const right = row === column;
      if (!rows && !right) return;
      const share = total ? rows / total : 0;
      // A mistake is seen at a smaller share than a right answer is.
      const shade = right ? share : Math.min(1, 1.6 * share);
      const told = right
        ? `${labels[row]}: ${count(rows)} of ${plural(total, "row")} right (${percent(share)})`
        : `${labels[row]} taken for ${labels[column]}: ${count(rows)} of ${plural(total, "row")} (${percent(share)})`;
      const [x, y] = [names + side * column, top + side * row];
      const cell = draw("g", {}, draw("title", {}, told));
      cell.append(
        draw("rect", {
          class: right ? "right" : "wrong",
          x: x + 0.75,
          y: y + 0.75,
          width: side - 1.5,
          height: side - 1.5,
          rx: 3,
          "fill-opacity": (0.07 + 0.93 * shade).toFixed(3),
        }),
      );
      if (rows && size <= 24) {
        const place = { x: x + side / 2, y: y + side / 2 + 4, "text-anchor": "middle", class: shade > 0.5 ? "deep" : null };
        cell.append(draw("text", place, short(rows)));
      }
      figure.append(cell);
    });
  });
  figure.append(
    draw("rect", { class: "frame", x: names, y: top, width: side * size, height: side * size, rx: 4 }),
  );
  return el("div", { class: "scroll" }, figure);
}

/** How often the model is right by how sure it is: bins of {confidence, accuracy, count}, after and before calibration. */
export function reliability(after, before) {
  const [left, top, side] = [48, 26, 300];
  const figure = draw("svg", {
    class: "reliability",
    viewBox: `0 0 ${left + side + 26} ${top + side + 46}`,
    role: "img",
    "aria-label": "Reliability diagram: share of right answers by the model's probability",
  });
  const [x, y] = [(share) => left + side * share, (share) => top + side * (1 - share)];
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    figure.append(
      draw("line", { class: "grid", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
      draw("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, `${100 * tick}%`),
      draw("text", { x: x(tick), y: top + side + 20, "text-anchor": "middle" }, `${100 * tick}%`),
    );
  }
  figure.append(
    draw("text", { class: "axis", x: x(0.5), y: top + side + 42, "text-anchor": "middle" }, "probability"),
    draw("text", { class: "axis", x: 0, y: 12 }, "right answers"),
    draw("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
  );
  const most = Math.max(...after.map((bin) => bin.count));
  const path = (bins) => bins.map((bin) => `${x(bin.confidence)},${y(bin.accuracy)}`).join(" ");
  if (before?.length) figure.append(draw("polyline", { class: "before", points: path(before) }));
  figure.append(draw("polyline", { class: "after", points: path(after) }));
  for (const bin of after) {
    const told = `${plural(bin.count, "answer")} of ${percent(bin.confidence)} on average, ${percent(bin.accuracy)} right`;
    const radius = 3 + 3 * Math.sqrt(bin.count / most);
    figure.append(
      draw("circle", { class: "dot", cx: x(bin.confidence), cy: y(bin.accuracy), r: radius }, draw("title", {}, told)),
    );
  }
  return figure;
}
