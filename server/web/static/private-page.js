// The page of a private tag: looks for it with the keys of this device, rings it, shares days of it, renews its list.
// What stands in the page beside that, the server says; where the tag is, it does not know.
import { dayKey, dayOf, fetchToken, packShare } from "./private.js";
import { get } from "./private-client.js";
import { lookForOwn } from "./private-look.js";
import { seedOf } from "./private-phrase.js";
import { nowS, renew, ring } from "./private-relay.js";
import { $, UNABLE, able, element, trying } from "./private-say.js";
import { entry, find, forget, keep } from "./private-store.js";
import { claimKey } from "./private-tag.js";
import { progress, view } from "./private-view.js";

const { serial: digits, name } = $("tag").dataset, serial = Number(digits);
const AGAIN_MS = 60_000, RING_S = 10, PARTS = ["answer", "past", "refused"];
let tag = null, looking = false;

// By itself it looks without a word: nobody is to hear of progress every minute.
async function look(said = () => {}) {
  if (!tag || looking) return;
  looking = true;
  const worked = await trying($("again"), $("wrong"), async () =>
    view(await lookForOwn(tag, nowS(), said), name, nowS()));
  looking = false;
  if (!worked) progress();
}

async function begin() {
  tag = await find(serial);
  $("no-keys").hidden = Boolean(tag);
  $("with-keys").hidden = !tag;
  $("again").hidden = !tag;
  if (!tag) { for (const part of PARTS) $(part).hidden = true; return; }
  $("ring-code").hidden = Boolean(tag.claimKey);
  $("code").required = !tag.claimKey;
  $("ring-gateway").value ||= tag.gateway ?? "";
  await Promise.all([look(progress), due()]);
}

$("phrase-form").addEventListener("submit", (event) => {
  event.preventDefault();
  trying(event.submitter, $("phrase-wrong"), async () => {
    const restored = { ...entry(serial, await seedOf($("phrase").value)), state: "owned", confirmed: true };
    const { unknown, days } = await lookForOwn(restored, nowS(), progress);
    progress();
    // Words that open nothing at all are another tag's; kept, they would only hide the right ones.
    if (unknown.length === days.length) throw Object.assign(new Error(), { code: "keys_not_uploaded" });
    await keep(restored);
    $("phrase").value = "";
    await begin();
  });
});

// --- A year and after
async function due() {
  const said = await get(`/tags/${serial}`).catch(() => ({}));
  const is = said.renew_from && Date.parse(said.renew_from) <= Date.now();
  $("renew").hidden = $("renew-notice").hidden = !is;
  if (is) {
    $("renew-notice").textContent = `The tag's identifiers end on ${said.keys_until}; then nobody can report it. ` +
      "Write the next year into it: hold it near a receiver, press its button, and use the button below.";
  }
}

const say = (text) => $("steps").append(element("li", { textContent: text }));

// Both speak with the tag, which asks for the code from the box; the server tells whether it is this tag's.
async function withTag(button, act) {
  $("steps").replaceChildren();
  await trying(button, $("ring-wrong"), async () => {
    if (!tag.claimKey) tag = { ...tag, claimKey: claimKey($("code").value) };
    await act($("ring-gateway").value.trim());
    tag = await keep({ ...tag, gateway: $("ring-gateway").value.trim() });
    $("code").value = "";
    $("ring-code").hidden = true;
    $("code").required = false;
  });
  tag = await find(serial); // a code that the tag did not take is not kept
}
$("ring-form").addEventListener("submit", (event) => {
  event.preventDefault();
  withTag($("ring"), (gateway) => ring(tag, gateway, RING_S, say));
});
$("renew").addEventListener("click", () => {
  if (!$("ring-form").reportValidity()) return;
  withTag($("renew"), async (gateway) => {
    await renew(tag, gateway, say);
    await due();
  });
});

// --- Sharing: single days' keys, from today on; the secret is not in it
$("share-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const days = Number($("share-days").value), first = dayOf(nowS());
  const keys = await Promise.all(Array.from({ length: days + 1 }, async (_, n) => ({
    day: first + n, d: await dayKey(tag.seed, first + n), f: await fetchToken(tag.seed, first + n),
  })));
  const share = await packShare({ endsS: nowS() + days * 86_400, days: keys });
  $("share-link").value = `${location.origin}/shared#${share}`;
  $("share-made").hidden = false;
  $("copied").textContent = "";
  $("share-link").select();
});
$("copy").addEventListener("click", async () => {
  $("share-link").select();
  const done = await navigator.clipboard.writeText($("share-link").value).then(() => true, () => false);
  $("copied").textContent = done ? "Copied." : "Marked: copy it with your keyboard.";
});

$("forget-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await forget(serial);
  event.target.reset();
  await begin();
});

$("again").addEventListener("click", () => look(progress));
// "2 min ago" is true for a minute; a hidden tab asks for nothing.
setInterval(() => { if (!document.hidden) look(); }, AGAIN_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

if (await able()) {
  await begin();
} else {
  $("wrong").textContent = UNABLE;
  $("wrong").hidden = false;
}
document.documentElement.dataset.ready = "";
