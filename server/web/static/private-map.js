// A plain plan of places: each with the circle in which the tag was, the newest strong, north up, a bar for the scale.
// Nothing is loaded from anywhere, so there are no streets: which place is asked for, no map server learns.
import { withinOf } from "./private-read.js";

const EDGE = 36, LEAST_M = 200, MOST = 300, METRES_A_DEGREE = 111_320;
// Between reports further apart in time nobody knows the way, so none is drawn.
const WAY_S = 600;
const NS = "http://www.w3.org/2000/svg";

const made = (name, attributes, text = "") => {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
};
const lengthWords = (metres) => metres >= 1000 ? `${metres / 1000} km` : `${metres} m`;

// Points in order of time, degrees → metres east and north of the newest one. The date line is no edge.
function metresOf(points) {
  const { lat, lon } = points.at(-1), shrink = Math.max(0.01, Math.cos(lat * Math.PI / 180));
  return points.map((each) => ({
    east: ((each.lon - lon + 540) % 360 - 180) * METRES_A_DEGREE * shrink,
    north: (each.lat - lat) * METRES_A_DEGREE, within: withinOf(each), unixS: each.unixS,
  }));
}

// The longest round length that fits into a fourth of the plan.
function scaleOf(metresAPixel, width) {
  const most = width / 4 * metresAPixel, ten = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((each) => each * ten).find((each) => each <= most) ?? ten;
}

// An SVG of at most the newest 300 places; null without any. Its own pixels are about the screen's.
export function plan(points, width = 640, height = 380) {
  if (!points.length) return null;
  const at = metresOf(points.slice(-MOST));
  const span = (key) => [Math.min(...at.map((p) => p[key] - p.within)), Math.max(...at.map((p) => p[key] + p.within))];
  const [west, east] = span("east"), [south, north] = span("north");
  const metresAPixel = Math.max((east - west) / (width - 2 * EDGE), (north - south) / (height - 2 * EDGE),
    LEAST_M / (height - 2 * EDGE));
  const x = (p) => (width / 2 + (p.east - (west + east) / 2) / metresAPixel).toFixed(1);
  const y = (p) => (height / 2 - (p.north - (south + north) / 2) / metresAPixel).toFixed(1);
  const bar = scaleOf(metresAPixel, width), barPx = bar / metresAPixel;
  const svg = made("svg", { viewBox: `0 0 ${width} ${height}`, class: "plan", role: "img" });
  svg.setAttribute("aria-label", `A plan of ${at.length} place${at.length > 1 ? "s" : ""} without streets, north up; ` +
    `the newest is marked. The same places stand in the table below.`);
  const steps = at.slice(1).map((p, n) => [at[n], p]).filter(([one, next]) => next.unixS - one.unixS <= WAY_S);
  const way = steps.map(([one, next]) => `M${x(one)} ${y(one)}L${x(next)} ${y(next)}`).join("");
  if (way) svg.append(made("path", { d: way, class: "way" }));
  at.forEach((p, n) => {
    const newest = n === at.length - 1 ? " newest" : "";
    const radius = Math.max(newest ? 9 : 5, p.within / metresAPixel).toFixed(1);
    svg.append(made("circle", { cx: x(p), cy: y(p), r: radius, class: `within${newest}` }));
    svg.append(made("circle", { cx: x(p), cy: y(p), r: newest ? 3.5 : 2.5, class: `dot${newest}` }));
  });
  const low = height - 14, from = 16;
  svg.append(made("path", { d: `M${from} ${low - 6}v6h${barPx.toFixed(1)}v-6`, class: "bar" }));
  svg.append(made("text", { x: from + 4, y: low - 10 }, lengthWords(bar)));
  svg.append(made("path", { d: `M${width - 22} 40v-24m-5 8l5 -8l5 8`, class: "bar" }));
  svg.append(made("text", { x: width - 27, y: 56 }, "N"));
  return svg;
}
