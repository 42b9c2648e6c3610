// Shows what was found: the one sentence, the plan, the table of a day, what is not believed and why, files to save.
import { EMPTY, REASONS, withinOf } from "./private-read.js";
import { batteryOf, clockLostOf, csv, geojson, gpx, movedOf, receiverOf } from "./private-export.js";
import { plan } from "./private-map.js";
import { $, ago, clockOf, dayWords, element } from "./private-say.js";

const ROWS_MAX = 500, TIMES_MAX = 20;
const FILES = { gpx: [gpx, "application/gpx+xml"], geojson: [geojson, "application/geo+json"], csv: [csv, "text/csv"] };
const many = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
let shown = null, chosen = "", before = "";

// The progress of a look, in words and as a bar.
export function progress({ fetched, done, of } = {}) {
  const bar = $("progress"), count = (n) => n.toLocaleString("en");
  bar.hidden = done === undefined;
  if (done !== undefined) Object.assign(bar, { max: of, value: done });
  $("progress-words").textContent = done !== undefined ? `Opening reports: ${count(done)} of ${count(of)}.`
    : fetched !== undefined ? `Fetched ${many(fetched, "sealed report")}.` : "";
}

// `found` as private-look.js gives it; `name`: what the tag is called in files.
export function view(found, name, nowS) {
  shown = { ...found, name };
  progress();
  const newest = found.points.at(-1);
  const heard = newest && `Heard ${ago(newest.unixS, nowS)} within ${withinOf(newest)} m.`;
  $("lead").textContent = heard ?? why(found);
  $("facts").replaceChildren(...newest ? factsOf(newest, found) : []);
  $("unchecked").hidden = found.tailsChecked || !found.points.length;
  $("answer").hidden = false;
  // Nothing new: whoever reads or chooses a day is not disturbed.
  const now = JSON.stringify([found.points.map(({ unixS, tail }) => [unixS, [...tail]]), found.refused]);
  if (now === before && !$("past").hidden) return;
  before = now;
  refused(found.refused);
  $("past").hidden = !found.points.length;
  if (newest) days();
}

function why({ empty, unknown, days }) {
  if (days.length && unknown.length === days.length) {
    return "No locations, because our server has no keys of these days for this tag: other words, or not claimed yet.";
  }
  return EMPTY[empty];
}

function factsOf(newest, { points }) {
  const facts = [
    ["Place", placeOf(newest)], ["Heard", clockOf(newest.unixS)], ["Receiver", receiverOf(newest).replace("_", " ")],
    ["Battery", batteryOf(newest)], ["Reports", `${many(points.length, "report")} believed, opened on this device`],
  ];
  return facts.flatMap(([name, said]) => [element("dt", { textContent: name }), element("dd", {}, said)]);
}

const placeOf = ({ lat, lon }) =>
  element("a", { href: `geo:${lat},${lon}`, textContent: `${lat.toFixed(5)}, ${lon.toFixed(5)}` });

function refused(all) {
  const times = new Map();
  for (const { why: reason, unixS } of all) times.set(reason, [...times.get(reason) ?? [], unixS]);
  const items = [...times].map(([reason, at]) => {
    const known = at.filter((each) => each !== undefined).sort((a, b) => b - a);
    const when = known.length ? ` Said to be of ${known.slice(0, TIMES_MAX).map(clockOf).join("; ")}` : "";
    const more = known.length > TIMES_MAX ? ` and ${known.length - TIMES_MAX} more` : "";
    return element("li", {}, element("b", { textContent: `${at.length} × ` }), REASONS[reason],
      element("small", { textContent: when && `${when}${more}.` }));
  });
  $("refused-count").textContent = `${many(all.length, "report")} not believed, and why`;
  $("refused-list").replaceChildren(...items);
  $("refused").hidden = !all.length;
}

// --- One day, or all of them

function days() {
  const counts = new Map();
  for (const { unixS } of shown.points) counts.set(dayWords(unixS), (counts.get(dayWords(unixS)) ?? 0) + 1);
  const options = [...counts].reverse().map(([day, n]) => new Option(`${day} (${n})`, day));
  $("day").replaceChildren(new Option(`All days (${shown.points.length})`, ""), ...options);
  if (!counts.has(chosen)) chosen = "";
  $("day").value = chosen;
  places();
}

const ofDay = () => shown.points.filter(({ unixS }) => !chosen || dayWords(unixS) === chosen);

function places() {
  const points = ofDay();
  $("plan").replaceChildren(innerWidth < 640 ? plan(points, 340, 300) : plan(points));
  $("places").replaceChildren(...points.slice(-ROWS_MAX).reverse().map(rowOf));
  $("cut").textContent = points.length > ROWS_MAX ? `The newest ${ROWS_MAX}; the files hold all ${points.length}.` : "";
}

function rowOf(point) {
  const state = [
    batteryOf(point) === "full" ? "" : `battery ${batteryOf(point)}`, movedOf(point) ? "moved" : "",
    clockLostOf(point) ? "clock lost: the time is the receiver's word" : "",
  ].filter(Boolean).join(", ");
  const cells = { Place: placeOf(point), Within: `${withinOf(point)} m`, Receiver: receiverOf(point).replace("_", " "),
    Tag: state };
  const row = element("tr", {}, element("th", { scope: "row", textContent: clockOf(point.unixS) }));
  for (const [label, said] of Object.entries(cells)) {
    const cell = element("td", {}, said);
    cell.dataset.label = label;
    row.append(cell);
  }
  return row;
}

function save(kind) {
  const [make, type] = FILES[kind];
  const address = URL.createObjectURL(new Blob([make(ofDay(), shown.name)], { type }));
  element("a", { href: address, download: `places.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

$("day").addEventListener("change", ({ target }) => { chosen = target.value; places(); });
for (const kind of Object.keys(FILES)) $(`save-${kind}`).addEventListener("click", () => save(kind));
