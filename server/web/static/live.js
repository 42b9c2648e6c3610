// Keeps a tag's page true while somebody looks at it. The server says when the tag was heard; the parts marked
// data-renew are then read again from this very page, so that things are said in one place. Without this, a reload does
// the same. A hidden tab lets go of its line: a browser has six to one server, and forgotten tabs must not hold them all.
const sign = document.querySelector("[data-live]");
const LOST = "Reconnecting – showing last known";
// "3 minutes ago" is true for a minute.
const AGE_MS = 60_000;
const AGAIN_FIRST_MS = 5_000, AGAIN_MAX_MS = 60_000;
let source = null, ended = false, again = 0, pause = AGAIN_FIRST_MS;
let reading = false, unread = false;

function say(word, on = false) {
  if (sign.textContent !== word) sign.textContent = word;
  sign.classList.toggle("on", on);
}

// Only what differs is touched: a screen reader is not interrupted, focus stays, what was folded out stays so.
function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
  if (old.nodeType === Node.TEXT_NODE) { old.data = fresh.data; return; }
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  const mine = [...old.childNodes], theirs = [...fresh.childNodes];
  if (mine.length !== theirs.length) old.replaceChildren(...theirs);
  else mine.forEach((child, n) => renew(child, theirs[n]));
}

async function readOnce() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-renew]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) renew(part, fresh);
  }
}

async function read() {
  unread = true;
  if (reading) return;
  reading = true;
  try {
    while (unread) {
      unread = false;
      await readOnce();
    }
  } catch {
    // The server is away: the line says so by itself, and what stands here stays.
  } finally {
    reading = false;
  }
}

function heardBefore(event) {
  const shown = Date.parse(document.getElementById("now").dataset.heard);
  const said = Date.parse(JSON.parse(event.data).heard_at);
  return shown === said || (Number.isNaN(shown) && Number.isNaN(said));
}

function open() {
  close();
  source = new EventSource(sign.dataset.live);
  source.addEventListener("state", async (event) => {
    if (!heardBefore(event)) await read();
    pause = AGAIN_FIRST_MS;
    say("Live", true);
  });
  source.addEventListener("sighting", async () => {
    await read();
    say(`Live – updated ${document.querySelector("#as-of time").textContent}`, true);
  });
  source.addEventListener("paused", () => say(LOST));
  source.addEventListener("end", (event) => {
    const { code, message, do: advice } = JSON.parse(event.data).error;
    if (code === "not_ready") { say(LOST); return; } // a restart: the browser comes back by itself
    ended = true;
    close();
    say(`Not live any more. ${message} ${advice}`);
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CONNECTING) { say(LOST); return; }
    say("Not live – showing last known");
    again = setTimeout(open, pause);
    pause = Math.min(pause * 2, AGAIN_MAX_MS);
  });
}

function close() {
  clearTimeout(again);
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  if (ended) return;
  if (document.hidden) {
    close();
    say(LOST);
  } else {
    open();
    read();
  }
});
setInterval(() => { if (source) read(); }, AGE_MS);
if (!document.hidden) open();
