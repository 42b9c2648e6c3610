// The private way through the claim page. The code stays in this page: the server gets a hash of it. What is under way
// is kept in this browser, so that a claim that was cut off goes on where it was.
import { get, post } from "./private-client.js";
import { dayOf, hex } from "./private.js";
import { phraseOf } from "./private-phrase.js";
import { claim, nowS, yearOf } from "./private-relay.js";
import { $, UNABLE, able, element, show, trying } from "./private-say.js";
import { all, entry, find, forget, keep } from "./private-store.js";
import { claimHash, claimKey } from "./private-tag.js";

const form = $("claim-form"), code = $("code"), [choose] = form.querySelectorAll("[value=private]");
let tag = null, year = null, asked = [];

const isPrivate = () => new FormData(form).get("kind") === "private";
const only = (...ids) => {
  for (const id of ["unfinished", "claim-form", "secret", "check", "carry", "done"]) $(id).hidden = !ids.includes(id);
};

// The field has no name in the private way: whatever happens to this form, the code is not part of what it sends.
form.addEventListener("change", () => {
  if (isPrivate()) code.removeAttribute("name");
  else code.name = "code";
});

form.addEventListener("submit", (event) => {
  if (!isPrivate()) return;
  event.preventDefault();
  trying(form.querySelector("button"), $("claim-wrong"), async () => {
    const key = claimKey(code.value);
    const { serial } = await post("/claims", { claim_hash: hex(await claimHash(key)) });
    const held = await heldOf(serial);
    const state = held?.state === "activated" ? "activated" : "new";
    tag = await keep({ ...held ?? fresh(serial), claimKey: key, state });
    code.value = "";
    await (held?.confirmed ? carry() : words());
  });
});

// The words of a tag that this browser has stay true. Of one that is no more ours, somebody else may have them, too.
async function heldOf(serial) {
  const held = await find(serial);
  if (held?.state !== "owned" || (await get("/tags")).some((each) => each.serial === serial)) return held;
  await forget(serial);
  return undefined;
}

const fresh = (serial) => ({ ...entry(serial, crypto.getRandomValues(new Uint8Array(32))), confirmed: false });

async function words() {
  const phrase = await phraseOf(tag.seed);
  $("words").replaceChildren(...phrase.map((word) => element("li", { textContent: word })));
  only("secret");
  show($("secret"));
  year = yearOf(tag); // made while somebody writes
  year.catch(() => null);
}

$("written").addEventListener("click", () => {
  $("words").replaceChildren();
  const first = Math.floor(Math.random() * 12), second = 12 + Math.floor(Math.random() * 12);
  asked = [first, second];
  asked.forEach((place, n) => {
    $(`word-${n}`).value = "";
    document.querySelector(`label[for=word-${n}]`).textContent = `Word ${place + 1}`;
  });
  $("check-wrong").hidden = true;
  only("check");
  show($("check"));
});
$("words-again").addEventListener("click", words);

$("check-form").addEventListener("submit", (event) => {
  event.preventDefault();
  trying(event.submitter, $("check-wrong"), async () => {
    const phrase = await phraseOf(tag.seed);
    for (const [n, place] of asked.entries()) {
      const typed = $(`word-${n}`).value.trim().toLowerCase();
      if (typed !== phrase[place] && !(typed.length >= 4 && phrase[place].startsWith(typed))) {
        const wrong = new Error(`Word ${place + 1} on your paper is another one.`);
        throw Object.assign(wrong, { advice: "Look at the words again and compare all of them." });
      }
    }
    tag = await keep({ ...tag, confirmed: true });
    await carry();
  });
});

async function carry() {
  only("carry");
  show($("carry"));
  $("gateway").value = tag.gateway ?? "";
}

const say = (text) => {
  const log = $("steps");
  // A count that goes on replaces itself.
  if (text.startsWith("Writing") && log.lastChild?.textContent.startsWith("Writing")) log.lastChild.textContent = text;
  else log.append(element("li", { textContent: text }));
};

$("carry-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const finished = await trying($("go"), $("carry-wrong"), async () => {
    tag = await find(tag.serial) ?? tag;
    $("steps").replaceChildren();
    if ((await year)?.firstDay !== dayOf(nowS())) year = yearOf(tag);
    await claim(tag, $("gateway").value.trim(), await year, say);
  });
  if (!finished) { $("go").textContent = "Try again"; return; }
  $("to-tag").href = `/t/${tag.serial}`;
  $("carry-form").hidden = true;
  only("carry", "done");
  show($("done"));
});

// --- A claim that was cut off
function offer(held) {
  const on = element("button", { type: "button", textContent: "Go on with it" });
  const drop = element("button", { type: "button", className: "quiet", textContent: "Not now" });
  on.addEventListener("click", () => {
    tag = held;
    return held.confirmed ? carry() : words();
  });
  drop.addEventListener("click", async () => {
    // Words that nobody wrote down are worth nothing; written down, they may be the tag's.
    await (held.confirmed ? keep({ ...held, state: "owned" }) : forget(held.serial));
    $("unfinished").hidden = true;
  });
  // A tag that has signed is found by nobody until it has its list.
  const choices = held.state === "activated" ? [on] : [on, drop];
  const text = element("p", { textContent: `The private claim of tag ${held.serial} is not finished.` });
  $("unfinished").replaceChildren(text, ...choices);
  $("unfinished").hidden = false;
}

if (await able()) {
  choose.disabled = false;
  const unfinished = (await all().catch(() => [])).find(({ state, claimKey: key }) => state !== "owned" && key);
  if (unfinished) offer(unfinished);
} else {
  $("unable").textContent = UNABLE;
  $("unable").hidden = false;
}
document.documentElement.dataset.ready = "";
