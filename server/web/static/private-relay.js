// What an owner does to a private tag from afar or beside it: claim it, write a year of identifiers into it, ring it.
// Nothing here gives away the secret, a day's key, K_own or the code: server and gateway see hashes, public keys, MACs
// and what is encrypted for the tag.
import { claimBundle, dayOf, eidOf, hex, join, ownKey, unhex } from "./private.js";
import { NotDone, Relay, base64, post, put } from "./private-client.js";
import * as tagside from "./private-tag.js";
import { keep } from "./private-store.js";

const { Op } = tagside, BUNDLE_DAYS = 366, TRIES = 3;
// After these the link is gone and can be made anew; everything else needs the owner first.
const CUT_OFF = new Set(["not_reachable", "gateway_unreachable", "relay_unknown"]);
export const nowS = () => Math.floor(Date.now() / 1000);

// The days from today on: what the server gets of them, and what the tag does. Takes a second or so.
export async function yearOf(tag) {
  const firstDay = dayOf(nowS()), bundle = await claimBundle(tag.seed, firstDay, BUNDLE_DAYS);
  const eids = join(...await Promise.all(bundle.map(({ publicKey }) => eidOf(publicKey))));
  return { firstDay, bundle, eids };
}

// The whole private claim, as far as it is not done yet: `tag` is the store's entry and tells how far it came. `say` is
// told each step in plain words. Throws NotDone, or Refusal.
export async function claim(tag, gateway, year, say) {
  say("The code is shown to our server as a hash; the code itself stays here.");
  const claimHash = hex(await tagside.claimHash(tag.claimKey));
  // A claim ends with the tag's signature; whoever is cut off after that begins another one.
  const begin = async () => ({ claim_id: (await post("/claims", { claim_hash: claimHash })).claim_id });
  await throughRelay(begin, gateway, say, async (relay, { claim_id: id }) => {
    const frame = await mineOf(relay, tag) ?? await claimedOf(relay, id);
    say(`The tag is heard by ${relay.gateway}.`);
    if (tag.state === "new") {
      await activate(tag, id, relay, frame, say);
      tag = await keep({ ...tag, state: "activated", firstDay: year.firstDay, gateway: relay.gateway });
    }
    await uploadYear(tag, year, say);
    say("Our server has the year's public keys: gateways can seal to them, and nobody but you can open that.");
    await writeYear(tag, year, relay, frame, say).catch(async (wrong) => {
      // It may have been cleared meanwhile: then it has to sign anew.
      if (wrong.code === "tag_refused") await keep({ ...tag, state: "new" });
      throw wrong;
    });
  });
  await keep({ ...tag, state: "owned" });
  say("The tag holds its year of identifiers. It is yours alone.");
}

async function activate(tag, id, relay, frame, say) {
  const signer = await tagside.signerOf(tag.seed);
  const ask = async (cleared) => {
    const nonce = await relay.nonce(frame);
    const asked = { nonce: hex(nonce), owner_public_key: hex(signer.publicKey), cleared };
    return { nonce, ...await post(`/claims/${id}/challenge`, asked) };
  };
  let asked = await ask(false);
  if (asked.release) {
    say("The tag forgets its former owner.");
    await relay.say(tag.claimKey, asked.nonce, Op.CLEAR, tagside.releaseData(unhex(asked.release)));
    asked = await ask(true);
  }
  say("The tag is asked to sign.");
  const challenge = unhex(asked.challenge), data = tagside.activationData(challenge, signer.hash);
  const answer = await relay.say(tag.claimKey, asked.nonce, Op.ACTIVATE, data);
  const signature = await tagside.signChallenge(signer, challenge);
  const settled = await post(`/claims/${id}/answer`, { answer: hex(answer), owner_signature: hex(signature) });
  const wanted = { serial: tag.serial, ownerHash: signer.hash, tagKey: unhex(settled.tag_public_key) };
  await tagside.checkAnswer(answer, challenge, wanted);
  say("The tag has signed: it is activated, and yours.");
}

// A day that has begun keeps its key: of an earlier claim today's stands, and ours count from tomorrow.
async function uploadYear(tag, { firstDay, bundle }, say) {
  const send = (first) => put(`/tags/${tag.serial}/keys`, {
    first_day: firstDay + first,
    days: base64(join(...bundle.slice(first).flatMap(({ publicKey, fetchHash }) => [publicKey, fetchHash]))),
  });
  await send(0).catch((wrong) => {
    if (wrong.code !== "day_key_conflict") throw wrong;
    say("Today still has the keys of an earlier claim: places can be read from tomorrow (UTC) on.");
    return send(1);
  });
}

// Op 02: begin, the parts that the tag does not have yet, finish. A tag that was cut off goes on where it was.
async function writeYear(tag, { firstDay, eids }, relay, frame, say) {
  const own = await ownKey(tag.seed), signer = await tagside.signerOf(tag.seed), days = eids.length / 16;
  const write = async (make) => {
    const nonce = await relay.nonce(frame), sealed = await tagside.sealStep(tag.claimKey, nonce, await make(nonce));
    return tagside.heldOf(await relay.say(tag.claimKey, nonce, Op.SET_OWNER, sealed));
  };
  let held = await write((nonce) => tagside.beginStep(signer, { serial: tag.serial, nonce, own, firstDay, eids }));
  while (held < days) {
    say(`Writing the days into the tag: ${held} of ${days}.`);
    const now = await write(() => tagside.partStep(held, eids));
    if (now <= held) throw new NotDone("tag_refused", "The tag takes no more of its list.", "Try again.");
    held = now;
  }
  await write(() => tagside.finishStep(nowS()));
}

// The next year for a tag that we own: to the server, then into the tag. The secret and the phrase stay.
export async function renew(tag, gateway, say) {
  const year = await yearOf(tag);
  await uploadYear(tag, year, say);
  await throughRelay(() => ({ serial: tag.serial }), gateway, say, async (relay) => {
    await writeYear(tag, year, relay, await ownOf(relay, tag), say);
  });
  say("The tag holds the days of another year.");
}

export async function ring(tag, gateway, seconds, say) {
  await throughRelay(() => ({ serial: tag.serial }), gateway, say, async (relay) => {
    const nonce = await relay.nonce(await ownOf(relay, tag));
    const data = await tagside.ringData(await ownKey(tag.seed), nonce, seconds);
    await relay.say(tag.claimKey, nonce, Op.RING, data);
  });
  say(`It rings for ${seconds} seconds.`);
}

// --- The way to the tag

// `aim` gives what the relay is about, anew for each try.
async function throughRelay(aim, gateway, say, act) {
  for (let tries = TRIES; ; tries -= 1) {
    let relay = null;
    try {
      say("Asking the receiver which tags it hears.");
      const about = await aim();
      relay = await Relay.open(about, gateway);
      gateway = relay.gateway; // once the tag is private, nobody but us knows which one
      return await act(relay, about);
    } catch (wrong) {
      if (tries <= 1 || !relay || !CUT_OFF.has(wrong.code)) throw wrong;
      say("The link to the tag was cut off. Once more.");
    } finally {
      await relay?.close();
    }
  }
}


// A tag that has our keys is known by them: by the identifiers of these days, or of a year back if its clock is lost.
async function mineOf(relay, tag) {
  const own = await ownKey(tag.seed), today = dayOf(nowS());
  const known = async (firstDay, days) => {
    const bundle = await claimBundle(tag.seed, firstDay, days);
    return new Set(await Promise.all(bundle.map(async ({ publicKey }) => hex(await eidOf(publicKey)))));
  };
  const found = await tagside.frameOf(relay.frames, own, await known(today - 1, 3), nowS());
  if (found || !relay.frames.some((frame) => frame.slice(4, 6) === "21")) return found;
  return tagside.frameOf(relay.frames, own, await known(today - BUNDLE_DAYS, BUNDLE_DAYS), nowS());
}

// Before that only the server can tell whose frame it is: it has the lot's key.
async function claimedOf(relay, id) {
  return relay.frames[(await post(`/claims/${id}/candidates`, { frames: relay.frames })).index];
}

async function ownOf(relay, tag) {
  const frame = await mineOf(relay, tag);
  if (frame) return frame;
  throw new NotDone("tag_not_heard", `The receiver ${relay.gateway} does not hear this tag.`,
    "Name a receiver that is near the tag, and try again.");
}
