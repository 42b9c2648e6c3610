// Which sealed reports are believed, and why not the rest: the rules of owner/reports.py, tails.py and places.py, in the
// browser. Bounds and reasons stand in docs/private-finding.md; a test gives both the same reports.
import { Refusal, hex, macKey, openReport, tailAt } from "./private.js";

const DAY_S = 86_400, TICK_S = 900, AROUND = 2, AHEAD_S = 300, SLACK_S = (AROUND + 1) * TICK_S, BACK = 366 * 96;
const MAX_REPORTS = 200_000, MOVED_DAYS = 8, MOVED_REPORTS = 256, AT_ONCE = 64, CLOCK_LOST = 8;
const EARTH_M = 6_371_009, JUMP_MIN_M = 5_000, SPEED_MAX_MS = 900 / 3.6, CLOCKS_S = 10, STORIES = 64;
// How far a tag is heard, as in owner/places.py.
const RADIO_M = 60;
// How far from there the tag was at most, in metres: the receiver's own accuracy, and as far as a tag is heard.
export const withinOf = ({ accuracyM }) => accuracyM + RADIO_M;
// What people read beside a refused report, and instead of places when there are none.
export const REASONS = {
  not_a_report: "This is not a sealed report.",
  other_identifier: "It is filed under an identifier of another tag or another day.",
  duplicate: "The very same report is here already.",
  moved: "It was sealed for another day and moved to this identifier.",
  swapped_key: "The day's key does not open it: sealed to another key, moved here from another tag, or damaged.",
  no_such_place: "Its latitude or longitude is not on the earth.",
  from_the_future: "It gives a time that has not come yet.",
  wrong_day: "It gives a time outside of its day.",
  replayed: "The tag sent this frame long before the time it gives: a recording.",
  wrong_time: "The tag sent this frame long after the time it gives: the time is not true.",
  forged: "The tag never sent a frame with this ending.",
  impossible_jump: "Too far from the other reports, faster than any aircraft.",
};
export const EMPTY = {
  no_days: "No locations, because there are no keys of the days asked for.",
  nobody_heard: "No locations, because no receiver reported the tag in these days.",
  all_refused: "No locations, because no report that came is believed.",
};
const rad = (degrees) => degrees * Math.PI / 180;

// Reports (bytes each) → { points, refused, tailsChecked, empty }. `progress(done, of)` is told now and then.
export async function read(reports, ring, nowS, progress = () => {}) {
  if (reports.length > MAX_REPORTS) throw new Refusal("too_many_reports");
  const rows = reports.map((bytes) => ({ bytes, id: hex(bytes) })).sort((a, b) => a.id < b.id ? -1 : +(a.id > b.id));
  const judge = { ring, nowS, tried: 0, own: ring.own && await macKey(ring.own) };
  const points = [], refused = [];
  for (let from = 0; from < rows.length; from += AT_ONCE) {
    const some = rows.slice(from, from + AT_ONCE);
    await Promise.all(some.map((row, n) => open(row, rows[from + n - 1]?.id === row.id, ring)));
    for (const row of some) {
      const no = row.no ?? await refusal(row, judge);
      if (no) refused.push({ why: no, day: row.held?.day, unixS: row.opened?.unixS });
      else points.push({ ...row.opened, lat: row.opened.latE7 / 1e7, lon: row.opened.lonE7 / 1e7, day: row.held.day });
    }
    progress(from + some.length, rows.length);
  }
  points.sort((a, b) => a.unixS - b.unixS);
  const believed = story(points);
  points.forEach(({ day, unixS }, n) => {
    if (!believed.has(n)) refused.push({ why: "impossible_jump", day, unixS });
  });
  const kept = points.filter((_, n) => believed.has(n));
  const empty = !ring.days.size ? "no_days" : rows.length ? "all_refused" : "nobody_heard";
  return { points: kept, refused, tailsChecked: Boolean(judge.own), empty: kept.length ? "" : empty };
}

async function open(row, again, ring) {
  const { bytes } = row;
  if (bytes.length !== 89 || bytes[0] !== 1) { row.no = "not_a_report"; return; }
  row.held = ring.days.get(row.id.slice(2, 34));
  if (!row.held) row.no = "other_identifier";
  else if (again) row.no = "duplicate";
  else row.opened = await openReport(bytes, row.held).catch(({ code }) => {
    if (code === "report_shape") row.no = "not_a_report";
  });
}

async function refusal(row, judge) {
  const { held, opened } = row;
  if (!opened) return await moved(row, judge) ? "moved" : "swapped_key";
  const { latE7, lonE7, unixS, status } = opened, begins = held.day * DAY_S;
  if (Math.abs(latE7) > 9e8 || Math.abs(lonE7) > 18e8) return "no_such_place";
  if (unixS > judge.nowS + AHEAD_S) return "from_the_future";
  // A tag that lost its clock goes on with an old day's identifier; its frame's tail still has to be right.
  const lost = status & CLOCK_LOST && judge.own;
  if (unixS < begins - SLACK_S || (unixS >= begins + DAY_S + SLACK_S && !lost)) return "wrong_day";
  return judge.own && wrongTail(opened, held, judge);
}

async function moved({ bytes, held }, judge) {
  if (judge.tried >= MOVED_REPORTS) return false;
  judge.tried += 1;
  const away = ({ day }) => Math.abs(day - held.day);
  const others = [...judge.ring.days.values()].sort((a, b) => away(a) - away(b) || a.day - b.day);
  for (const other of others.slice(1, MOVED_DAYS + 1)) {
    if (await openReport(bytes, other).catch(() => null)) return true;
  }
  return false;
}

async function wrongTail({ unixS, status, tail }, held, { own, ring, nowS }) {
  const tickOf = (s) => Math.floor((s - ring.tickZeroS) / TICK_S), expected = tickOf(unixS);
  const sent = async (tick) => tick >= 0 && hex(await tailAt(own, held.eid, tick, status)) === hex(tail);
  held.mask ??= (await tailAt(own, held.eid, 0, 0))[0];
  const mod = (n) => (n % 256 + 256) % 256;
  const nearest = expected + mod((tail[0] ^ held.mask) - expected + 128) - 128;
  if (Math.abs(nearest - expected) <= AROUND && await sent(nearest)) return "";
  const top = nearest + Math.floor((tickOf(nowS + AHEAD_S) + AROUND - nearest) / 256) * 256;
  for (let tick = top; tick >= Math.max(0, expected - BACK); tick -= 256) {
    if (await sent(tick)) return tick > expected ? "wrong_time" : status & CLOCK_LOST ? "" : "replayed";
  }
  return "forged";
}

// --- Jumps: positions of the points of the story that most reports tell
function story(points) {
  const stories = [];
  points.forEach((point, position) => {
    const fitting = stories.filter((each) => !contradict(points[each.at(-1)], point));
    if (fitting.length) { longest(fitting).push(position); return; }
    if (stories.length === STORIES) stories.splice(stories.indexOf(shortest(stories)), 1);
    stories.push([position]);
  });
  return new Set(stories.length ? longest(stories) : []);
}
const shortest = (stories) => stories.reduce((a, b) => b.length < a.length ? b : a);
const longest = (stories) => stories.reduce((a, b) => b.length > a.length ? b : a);

function contradict(one, other) {
  const north = rad(other.lat - one.lat), east = rad(other.lon - one.lon);
  const rise = Math.cos(rad(one.lat)) * Math.cos(rad(other.lat));
  const half = Math.sin(north / 2) ** 2 + rise * Math.sin(east / 2) ** 2;
  const apartM = 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(half))) - one.accuracyM - other.accuracyM - 2 * RADIO_M;
  return apartM > JUMP_MIN_M && apartM > (Math.abs(other.unixS - one.unixS) + CLOCKS_S) * SPEED_MAX_MS;
}
