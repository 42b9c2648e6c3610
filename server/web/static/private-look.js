// Looks for a tag: fetches the sealed reports of some days and has them opened in a worker, off the page's own thread.
import { Refusal, dayOf, ownerRing, readShare, shareRing } from "./private.js";
import { fetchReports } from "./private-client.js";

// The server keeps reports for seven days, which touch eight. A tag whose clock runs ahead begins its day early.
export const LOOK_BACK_DAYS = 8;
const EARLY_S = 45 * 60;

// Of an own tag: { seed, firstDay | null, tickZeroS }. `said({ fetched } | { done, of })` is told the progress. Gives
// what private-read.js found, with `unknown`: the days of which the server has no keys, and `days`: those asked for.
export async function lookForOwn(tag, nowS, said) {
  const last = dayOf(nowS + EARLY_S), first = Math.max(tag.firstDay ?? 0, last - LOOK_BACK_DAYS + 1);
  const ring = await ownerRing(tag.seed, first, last - first + 1, tag.tickZeroS);
  const asked = { seed: tag.seed, firstDay: first, days: last - first + 1, tickZeroS: tag.tickZeroS };
  return look([...ring.days.values()], asked, nowS, said);
}

// Of a share, by its link.
export async function lookForShared(link, nowS, said) {
  const share = await readShare(link), ring = await shareRing(share, nowS), last = dayOf(nowS + EARLY_S);
  const days = [...ring.days.values()].filter(({ day }) => day <= last);
  return { share, ...await look(days, { share: link }, nowS, said) };
}

async function look(days, asked, nowS, said) {
  const { reports, unknown } = await fetchReports(days, (fetched) => said({ fetched }));
  const found = await opened({ ...asked, reports, nowS }, said);
  return { ...found, unknown, days: days.map(({ day }) => day) };
}

function opened(asked, said) {
  const worker = new Worker(new URL("private-worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onerror = () => reject(new Refusal("worker_broken"));
    worker.onmessage = ({ data }) => {
      if (data.found) resolve(data.found);
      else if (data.refused) reject(new Refusal(data.refused));
      else said(data);
    };
    worker.postMessage({ id: 1, ...asked });
  }).finally(() => worker.terminate());
}
