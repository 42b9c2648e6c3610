// What the owner's client says to a tag, each message under a nonce of its own, and which frame in the air is the tag's
// (wire format, sections 1, 2 and 11). The same as wire/gatt.py, wire/set_owner.py and wire/claim_code.py.
import { Refusal, hex, join, prf, sha256, u32, unhex } from "./private.js";

const { subtle } = crypto, DAY_S = 86_400, TICK_S = 900, AROUND = 3;
export const Op = { STATE: 1, SET_OWNER: 2, CLEAR: 3, NEAR: 4, RING: 5, ACTIVATE: 16 };
const u16 = (n) => [n >>> 8, n & 255];
const u40 = (n) => [Math.floor(n / 2 ** 32), ...u32(n)];

// --- The code from the box: Crockford's base32 of K_claim with a check character
const SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", CHECKS = `${SYMBOLS}*~$=U`;
export function claimKey(text) {
  const wrong = new Refusal("code_mistyped");
  if (text.length > 64) throw wrong;
  const typed = text.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  const values = [...typed.slice(0, -1)].map((symbol) => SYMBOLS.indexOf(symbol));
  if (typed.length !== 27 || values.includes(-1)) throw wrong;
  const number = values.reduce((all, value) => all << 5n | BigInt(value), 0n);
  if (number >> 128n || CHECKS[Number(number % 37n)] !== typed.at(-1)) throw wrong;
  return unhex(number.toString(16).padStart(32, "0"));
}
export const claimHash = (claimKey) => sha256("hearsight claim code v1", claimKey);

// --- Messages and what the tag answers
export async function message(claimKey, nonce, op, data) {
  const head = join(op, u16(data.length), data);
  return join(head, (await prf(claimKey, 1, nonce, head)).slice(0, 8));
}
export function replyData(reply, op) {
  if (reply.length < 3 || reply[0] !== op || reply.length !== 3 + reply[1] * 256 + reply[2]) {
    throw new Refusal("wrong_reply");
  }
  return reply.slice(3);
}
export const activationData = (challenge, hash) => join(challenge, hash);
// What the tag signed: for this challenge, by this tag, for this owner. A gateway or a server may have told anything.
export async function checkAnswer(answer, challenge, { serial, ownerHash, tagKey }) {
  const wrong = new Refusal("receipt_invalid"), stated = answer.subarray(0, 27);
  if (answer.length !== 91 || hex(stated.subarray(0, 5)) !== hex(u40(serial))) throw wrong;
  if (hex(stated.subarray(11)) !== hex(ownerHash)) throw wrong;
  const key = await subtle.importKey("raw", tagKey, "Ed25519", false, ["verify"]);
  if (!await subtle.verify("Ed25519", key, answer.subarray(27), join("ACT1", challenge, stated))) throw wrong;
}
export const releaseData = (signature) => join(2, signature);
export const clearData = async (own, nonce) => join(1, (await prf(own, "CLR1", nonce)).slice(0, 16));
export const nearData = (own, nonce, unixS) => proved(own, "NEAR", nonce, u32(unixS));
export const ringData = (own, nonce, seconds) => proved(own, "RING", nonce, [seconds]);
const proved = async (own, domain, nonce, value) =>
  join(value, (await prf(own, domain, nonce, value)).slice(0, 16));

// --- The owner's signature, by a key that comes from the secret, so that the phrase alone brings it back
const PKCS8 = unhex("302e020100300506032b657004220420");
export async function signerOf(seed) {
  const secret = await subtle.importKey("pkcs8", join(PKCS8, await prf(seed, "sign", 1)), "Ed25519", true, ["sign"]);
  const { x } = await subtle.exportKey("jwk", secret);
  const publicKey = Uint8Array.from(atob(x.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  return {
    publicKey,
    hash: (await sha256("OWN1", publicKey)).slice(0, 16),
    sign: async (...parts) => new Uint8Array(await subtle.sign("Ed25519", secret, join(...parts))),
  };
}
export const signChallenge = (signer, challenge) => signer.sign("hearsight owner challenge v1", challenge);

// --- Op 02: begin, parts, finish; `eids` are the identifiers as they follow each other, 16 bytes each
export const PART_EIDS = 61;
export async function beginStep(signer, { serial, nonce, own, firstDay, eids }) {
  const list = join(own, u32(firstDay), u16(eids.length / 16), await sha256(eids));
  const head = join(1, list, signer.publicKey);
  return join(head, await signer.sign("SET1", u40(serial), nonce, head));
}
export const partStep = (first, eids) => join(2, u16(first), eids.slice(first * 16, (first + PART_EIDS) * 16));
export const finishStep = (unixS) => join(3, u32(unixS));
export async function stepKey(claimKey, nonce) {
  const key = await subtle.importKey("raw", claimKey, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: nonce, info: join("set owner") };
  return new Uint8Array(await subtle.deriveBits(how, key, 128));
}
export async function sealStep(claimKey, nonce, plain, iv = crypto.getRandomValues(new Uint8Array(12))) {
  const key = await subtle.importKey("raw", await stepKey(claimKey, nonce), "AES-GCM", false, ["encrypt"]);
  return join(iv, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, key, plain)));
}
export function heldOf(data) {
  if (data.length !== 2) throw new Refusal("wrong_reply");
  return data[0] * 256 + data[1];
}

// --- Frames in the air
export const nearHash = async (own, tick) => (await prf(own, "N", u32(tick))).slice(0, 8);
export const unlistedEid = async (own, day) => (await prf(own, "E", u32(day))).slice(0, 16);

// The first of these frames (hex) that a tag with this K_own and these EIDs (a Set of hex) sends about now, if any.
// Ticks are those of 1970.
export async function frameOf(frames, own, eids, nowS) {
  const tick = Math.floor(nowS / TICK_S), day = Math.floor(nowS / DAY_S);
  const near = new Set(), away = new Set(eids);
  for (let n = -AROUND; n <= AROUND; n += 1) near.add(hex(await nearHash(own, tick + n)));
  for (let n = -1; n <= 1; n += 1) away.add(hex(await unlistedEid(own, day + n)));
  return frames.find((frame) => {
    const kind = frame.slice(4, 6);
    return kind === "21" ? away.has(frame.slice(8, 40)) : kind === "31" && near.has(frame.slice(8, 24));
  });
}
