// What pages of private finding say: each failure with what happened and what to do, times, and a few small helpers.

const WORDS = {
  code_mistyped: ["A character of the code is wrong or missing.", "Compare it with the code in the box."],
  phrase_checksum: [
    "Each word is on the list, but together they are no recovery phrase: the checksum differs.",
    "Look for two words exchanged, or for one that looks like another.",
  ],
  share_malformed: ["This is not a whole share.", "Was the link cut off? Copy all of it."],
  share_ended: ["This share has ended.", "Ask the owner for a new one."],
  other_secret: [
    "This browser keeps another secret for this tag.", "Make it forget that one first, on the tag's page.",
  ],
  store_broken: [
    "This browser could not keep the tag's keys.", "Private windows often keep nothing: use an ordinary one.",
  ],
  receipt_invalid: ["The answer was not made by this tag for you.", "Begin again, and tell support."],
  wrong_reply: ["The tag answered something else than it was asked.", "Try again."],
  too_many_reports: ["There are more than 200,000 reports.", "Somebody may flood this tag: tell support."],
  keys_not_uploaded: [
    "Our server has no keys of these days for this tag.", "Are these the 24 words of this tag, and was it claimed?",
  ],
};
const NO_CRYPTO = [
  "This browser cannot make or use the keys of a private tag.",
  "Use a current browser, over https (or on the very machine that Hearsight runs on).",
];
const BROKEN = ["Something broke in this page.", "Reload it; what was done so far is kept."];

// Whatever was thrown → [what happened, what to do].
export function wordsOf(wrong) {
  if (wrong.code === "phrase_words") {
    return [`A recovery phrase has 24 words, this one ${wrong.count}.`, "Is a word missing, or twice?"];
  }
  if (wrong.code === "phrase_word") {
    const advice = wrong.near.length ? `Is it ${wrong.near.join(" or ")}?` : "Look at it once more on the paper.";
    return [`Word ${wrong.place} is not on the list.`, advice];
  }
  if (wrong.advice !== undefined) return [wrong.message, wrong.advice];
  if (wrong.name === "NotSupportedError" || !globalThis.crypto?.subtle) return NO_CRYPTO;
  return WORDS[wrong.code] ?? BROKEN;
}

// Whether this browser has what private finding needs: a secure context with X25519 and Ed25519.
export async function able() {
  try {
    await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
    await crypto.subtle.generateKey("Ed25519", false, ["sign"]);
    return Boolean(globalThis.indexedDB);
  } catch {
    return false;
  }
}
export const UNABLE = NO_CRYPTO.join(" ");

// --- Times, in the reader's zone
const zone = () => document.querySelector("[data-zone]")?.dataset.zone;
const shown = (options) => (unixS) =>
  new Intl.DateTimeFormat("en-GB", { timeZone: zone(), ...options }).format(unixS * 1000);
export const clockOf = shown({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
export const dayWords = shown({ weekday: "short", day: "numeric", month: "short" });
export function ago(unixS, nowS) {
  const past = nowS - unixS;
  for (const [unitS, name] of [[86_400, "d"], [3_600, "h"], [60, "min"]]) {
    if (past >= unitS) return `${Math.floor(past / unitS)} ${name} ago`;
  }
  return "just now";
}

// --- Elements
export const $ = (id) => document.getElementById(id);
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Runs what a button does: one at a time, and tells in `place` (role="alert") why it did not work.
export async function trying(button, place, act) {
  if (button?.getAttribute("aria-disabled") === "true") return false;
  button?.setAttribute("aria-disabled", "true");
  place.replaceChildren();
  place.hidden = true;
  try {
    await act();
    return true;
  } catch (wrong) {
    const [said, advice] = wordsOf(wrong);
    place.replaceChildren(element("b", { textContent: said }), ` ${advice}`);
    place.hidden = false;
    return false;
  } finally {
    button?.removeAttribute("aria-disabled");
  }
}

// Leads on to a part of the page that was not shown before: focus goes to its heading.
export function show(section) {
  section.hidden = false;
  const heading = section.querySelector("h2");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus();
}
