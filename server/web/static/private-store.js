// The secrets of private tags that this browser holds, in its IndexedDB: one entry a tag. Not encrypted, for the same
// reasons as the key files of owner/keyfile.py. An entry:
// { serial, seed, claimKey | null, tickZeroS, firstDay | null, state: "new" | "activated" | "owned", gateway? }.
// `gateway`: the receiver through which we last spoke with it.
// "new": words not yet confirmed or the tag has not signed; "activated": signed, but its list is not written yet.
import { Refusal, hex } from "./private.js";

const NAME = "hearsight", TAGS = "tags";

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(new Refusal("store_broken"));
});

async function within(mode, act) {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(TAGS, { keyPath: "serial" });
  const base = await settled(opening);
  try {
    const going = base.transaction(TAGS, mode);
    const ended = new Promise((resolve, reject) => {
      going.oncomplete = resolve;
      going.onabort = () => reject(new Refusal("store_broken"));
    });
    const result = await act(going.objectStore(TAGS));
    await ended; // durable, or an error: a secret that is only believed to be kept is lost
    return result;
  } finally {
    base.close();
  }
}

export const find = (serial) => within("readonly", (tags) => settled(tags.get(serial)));
export const all = () => within("readonly", (tags) => settled(tags.getAll()));
export const forget = (serial) => within("readwrite", (tags) => settled(tags.delete(serial)));

// Keeps an entry. Another secret of the same tag is never overwritten, not even one of another tab: forget it first.
export async function keep(tag) {
  await within("readwrite", async (tags) => {
    const held = await settled(tags.get(tag.serial));
    if (held && hex(held.seed) !== hex(tag.seed)) throw new Refusal("other_secret");
    await settled(tags.put(tag));
  });
  // Asks the browser not to clear it when it wants room. Firefox asks the person, who may never answer: nobody waits.
  navigator.storage?.persist?.().catch(() => {});
  return tag;
}

export const entry = (serial, seed) => ({ serial, seed, claimKey: null, tickZeroS: 0, firstDay: null, state: "new" });
