// Opens sealed reports off the page's own thread. Message: { id, reports, nowS } and either { seed, firstDay, days,
// tickZeroS } or { share }; answers { id, done, of } on the way, then { id, found } or { id, refused: code }.
import { ownerRing, readShare, shareRing } from "./private.js";
import { read } from "./private-read.js";

addEventListener("message", async ({ data }) => {
  const { id, reports, nowS, seed, share } = data;
  try {
    const ring = seed
      ? await ownerRing(seed, data.firstDay, data.days, data.tickZeroS)
      : await shareRing(await readShare(share), nowS);
    seed?.fill(0); // this thread's copy
    const found = await read(reports, ring, nowS, (done, of) => postMessage({ id, done, of }));
    postMessage({ id, found });
  } catch (wrong) {
    postMessage({ id, refused: wrong.code ?? "broken" });
  }
});
