// Somebody shared days of a tag: what stands behind the # opens them, on this device, without an account. The link's
// fragment reaches no server, and is taken out of the address bar.
import { lookForShared } from "./private-look.js";
import { UNABLE, $, able, clockOf, dayWords, trying } from "./private-say.js";
import { progress, view } from "./private-view.js";

const nowS = () => Math.floor(Date.now() / 1000);
let link = "";

async function look() {
  if (!link) return;
  const worked = await trying($("again"), $("wrong"), async () => {
    const { share, ...found } = await lookForShared(link, nowS(), progress);
    const [first, last] = [share.days[0].day, share.days.at(-1).day].map((day) => dayWords(day * 86_400 + 43_200));
    $("share-words").textContent =
      `Shared with you: ${first} to ${last} (days in UTC). It ends ${clockOf(share.endsS)}.`;
    view(found, "shared tag", nowS());
  });
  if (worked) return;
  progress();
  for (const part of ["answer", "past", "refused"]) $(part).hidden = true;
}

// `#…` of the address, or pasted into the field.
function take(text) {
  link = text.trim();
  history.replaceState(null, "", location.pathname);
  return look();
}

$("again").addEventListener("click", look);
$("share-form").addEventListener("submit", (event) => {
  event.preventDefault();
  take($("share-link").value);
});
addEventListener("hashchange", () => { if (location.hash.length > 1) take(location.hash); });

if (!await able()) $("share-words").textContent = UNABLE;
else if (location.hash.length > 1) await take(location.hash);
document.documentElement.dataset.ready = "";
