// How a page speaks with our server: calls as the signed-in reader, reports without saying who asks, and a relay that
// carries the owner's messages to a tag. Each refusal says what happened and what to do.
import { hex, unhex } from "./private.js";
import { message, replyData } from "./private-tag.js";

const FETCH_DAYS = 31, REPORT_LEN = 89, REPORTS_MAX = 200_000;

export class NotDone extends Error {
  constructor(code, said, advice = "") { super(said); this.code = code; this.advice = advice; }
}
const AWAY = ["server_unreachable", "Our server does not answer.", "Look at your connection, and try again."];

async function call(method, path, body, how = {}) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const csrf = document.querySelector("input[name=csrf]")?.value;
  if (csrf && how.credentials !== "omit") headers["x-csrf-token"] = csrf;
  const asked = { method, headers, body: JSON.stringify(body), cache: "no-store", ...how };
  const answer = await fetch(`/api/v1${path}`, asked).catch(() => { throw new NotDone(...AWAY); });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const broken = { code: "server_error", message: `Our server answered ${answer.status}.`, do: "Try again later." };
  const { code, message: words, do: advice } = said.error ?? broken;
  throw new NotDone(code, words, advice);
}
export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);

export const unbase64 = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
export const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

// --- Reports. `days` are those of a ring ({ day, eid, f }); gives { reports, unknown }: the bytes of each report, and
// the days of which the server has no keys. Without cookies: who fetches is nobody's to know.
export async function fetchReports(days, progress = () => {}) {
  const found = { reports: [], unknown: [] };
  for (let from = 0; from < days.length; from += FETCH_DAYS) {
    await fetchPages(days.slice(from, from + FETCH_DAYS), found, progress);
  }
  return found;
}

async function fetchPages(days, found, progress) {
  let wanted = days.map(({ eid, f }) => ({ eid: hex(eid), f: hex(f), after: null }));
  while (wanted.length && found.reports.length < REPORTS_MAX) {
    const answer = await call("POST", "/reports/fetch", { days: wanted }, { credentials: "omit" });
    for (const { day, eid } of days) if (answer.refused.includes(hex(eid))) found.unknown.push(day);
    const next = [];
    for (const { eid, reports, more } of answer.days) {
      const bytes = unbase64(reports), many = Math.floor(bytes.length / REPORT_LEN);
      for (let n = 0; n < many; n += 1) found.reports.push(bytes.slice(n * REPORT_LEN, (n + 1) * REPORT_LEN));
      const asked = wanted.find((each) => each.eid === eid);
      if (more && many && asked) next.push({ ...asked, after: hex(found.reports.at(-1)) });
    }
    wanted = next;
    progress(found.reports.length);
  }
}

// --- A relay: the server asks a gateway which tags it hears, connects, and carries bytes that it cannot make
export class Relay {
  static async open(about, gateway) {
    const { relay_id, frames, gateway: name } = await post("/relays", { ...about, gateway: gateway || null });
    return Object.assign(new Relay(), { id: relay_id, frames, gateway: name });
  }

  // Every message needs a nonce of its own; asking again on the open connection gives the next one.
  async nonce(frame) { return unhex((await post(`/relays/${this.id}/connect`, { frame })).nonce); }

  // Gives the data of what the tag answered.
  async say(claimKey, nonce, op, data) {
    const sent = hex(await message(claimKey, nonce, op, data));
    return replyData(unhex((await post(`/relays/${this.id}/write`, { message: sent })).answer), op);
  }

  // Whether it still stands is no matter to whoever has what they wanted.
  close() { return call("DELETE", `/relays/${this.id}`).catch(() => null); }
}
