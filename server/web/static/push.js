// The button "Tell me on this device": asks the reader, subscribes this browser, and adds it as a channel. Whatever
// does not work is said in the line below the button, with what to do. Without JavaScript the other ways remain.
const part = document.getElementById("push");
const button = part.querySelector("button");
const line = part.querySelector("[role=status]");
const REFUSED = "This browser was told to refuse our messages. Allow notifications in its settings for this site, then press again.";

function say(words, well = false) {
  line.textContent = words;
  line.className = `notice ${well ? "good" : "warn"}`;
}

function bytes(base64url) {
  const plain = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function same(a, b) {
  return a?.byteLength === b.length && new Uint8Array(a).every((byte, n) => byte === b[n]);
}

async function call(path, asked) {
  const answer = await fetch(`/api/v1${path}`, asked);
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${body.error.message} ${body.error.do}`);
  return body;
}

async function subscription() {
  const key = bytes((await call("/push/key")).public_key);
  await navigator.serviceWorker.register("/static/push-worker.js", { scope: "/" });
  const { pushManager } = await navigator.serviceWorker.ready;
  const old = await pushManager.getSubscription();
  if (old && same(old.options?.applicationServerKey, key)) return old;
  await old?.unsubscribe(); // to another house, or to this one before it was built anew
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

async function add() {
  const permission = await Notification.requestPermission();
  if (permission === "denied") return say(REFUSED);
  if (permission !== "granted") return say("You were asked and did not answer. Nothing has changed; press again when you want to be told.");
  let made;
  try {
    made = (await subscription()).toJSON();
  } catch (wrong) {
    return say(`This browser could not subscribe: ${wrong.message} Nothing has changed; an e-mail address or a webhook works too.`);
  }
  await call("/channels", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": part.dataset.csrf },
    body: JSON.stringify({ kind: "webpush", address: made.endpoint, keys: { p256dh: made.keys.p256dh, auth: made.keys.auth } }),
  });
  say("This device will be told. It stands in the list when this page is loaded again.", true);
}

async function pressed() {
  button.disabled = true;
  say("One moment …", true);
  try {
    await add();
  } catch (wrong) {
    say(`${wrong.message} Nothing has changed.`);
  } finally {
    button.disabled = false;
  }
}

part.hidden = false;
if ("serviceWorker" in navigator && "PushManager" in window && "Notification" in window) {
  button.addEventListener("click", pressed);
  if (Notification.permission === "denied") say(REFUSED);
} else {
  button.disabled = true;
  say("This browser cannot be told so. On an iPhone or iPad add this site to the home screen and open it there; it needs https everywhere.");
}
