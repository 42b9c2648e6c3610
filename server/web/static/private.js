// Private finding: keys, sealed reports, shares of days, with nothing but WebCrypto. The same as owner/ in Python, held
// against the same vectors (docs/private-finding.md).
const DAY_S = 86_400, REPORT_LEN = 89, SHARE_DAYS = 31;
const { subtle } = crypto, text = new TextEncoder();

export class Refusal extends Error {
  constructor(code) { super(code); this.code = code; }
}

// --- Bytes. A part is bytes, a text, or one byte as a number.
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const unhex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (two) => parseInt(two, 16));
export const u32 = (n) => [n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255];
const bytesOf = (part) => typeof part === "string" ? text.encode(part) : typeof part === "number" ? [part] : part;
export const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...bytesOf(part)]));
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const unbase64url = (word) =>
  Uint8Array.from(atob(word.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));

export const sha256 = async (...parts) => new Uint8Array(await subtle.digest("SHA-256", join(...parts)));
export const macKey = (raw) => subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
const mac = async (key, ...parts) => new Uint8Array(await subtle.sign("HMAC", key, join(...parts)));
export const prf = async (raw, ...parts) => mac(await macKey(raw), ...parts);

// --- Keys (wire format, section 2)
const PKCS8 = unhex("302e020100300506032b656e04220420");
export const dayOf = (unixS) => Math.floor(unixS / DAY_S);
export const dayKey = (seed, day) => prf(seed, "day", u32(day), 1);
export const fetchToken = async (seed, day) => (await prf(seed, "fetch", u32(day), 1)).slice(0, 16);
export const ownKey = async (seed) => (await prf(seed, "own", 1)).slice(0, 16);
export const eidOf = async (publicKey) => (await sha256("EIDv1", 0, publicKey)).slice(0, 16);
export const publicOf = async (d) => unbase64url((await subtle.exportKey("jwk", await privateKey(d))).x);
// The lowest bit does not count (RFC 7748, 5); WebKitGTK takes no zero byte first.
const privateKey = (d) =>
  subtle.importKey("pkcs8", join(PKCS8, d[0] | 1, d.slice(1)), "X25519", true, ["deriveBits"]);
const publicKey = (raw) => subtle.importKey("raw", raw, "X25519", true, []);

// What a claim uploads: enough to seal to and to check a fetch with, no more.
export async function claimBundle(seed, firstDay, days = 366) {
  return Promise.all(Array.from({ length: days }, async (_, n) => ({
    day: firstDay + n,
    publicKey: await publicOf(await dayKey(seed, firstDay + n)),
    fetchHash: await sha256(await fetchToken(seed, firstDay + n)),
  })));
}

// --- HPKE, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM (RFC 9180)
const KEM = join("HPKE-v1KEM", [0, 32]), SUITE = join("HPKE-v1HPKE", [0, 32, 0, 1, 0, 1]);
const noSalt = macKey(new Uint8Array(32)); // HMAC pads its key with zeros, and WebCrypto takes no empty one
const noPsk = noSalt.then((key) => mac(key, SUITE, "psk_id_hash"));
const expand = async (key, suite, label, info, length) =>
  (await mac(key, [0, length], suite, label, info, 1)).slice(0, length);
const contextOf = async (info) => join(0, await noPsk, await mac(await noSalt, SUITE, "info_hash", info));

async function aead(mine, theirs, enc, receiver, context, use) {
  const dh = new Uint8Array(await subtle.deriveBits({ name: "X25519", public: theirs }, mine, 256));
  const prk = await macKey(await mac(await noSalt, KEM, "eae_prk", dh));
  const shared = await macKey(await expand(prk, KEM, "shared_secret", join(enc, receiver), 32));
  const secret = await macKey(await mac(shared, SUITE, "secret"));
  const [raw, iv] = await Promise.all([
    expand(secret, SUITE, "key", context, 16), expand(secret, SUITE, "base_nonce", context, 12),
  ]);
  return [await subtle.importKey("raw", raw, "AES-GCM", false, [use]), { name: "AES-GCM", iv }];
}

async function hpkeSeal(plain, receiver, info) {
  const pair = await subtle.generateKey("X25519", true, ["deriveBits"]);
  const enc = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  const theirs = await publicKey(receiver), context = await contextOf(info);
  const [key, how] = await aead(pair.privateKey, theirs, enc, receiver, context, "encrypt");
  return join(enc, new Uint8Array(await subtle.encrypt(how, key, plain)));
}

async function hpkeOpen(sealed, mine, receiver, context) {
  const enc = sealed.subarray(0, 32);
  const [key, how] = await aead(mine, await publicKey(enc), enc, receiver, context, "decrypt");
  return new Uint8Array(await subtle.decrypt(how, key, sealed.subarray(32)));
}

// --- A ring: the days that somebody can read, by EID. Without ownKey (a share) no tail can be checked.
async function heldDay(day, d, f) {
  const [key, pub] = await Promise.all([privateKey(d), publicOf(d)]);
  const eid = await eidOf(pub);
  return { day, f, key, pub, eid, context: await contextOf(reportInfo(eid)) };
}
async function ringOf(days, own, tickZeroS) {
  const held = await Promise.all(days.map(({ day, d, f }) => heldDay(day, d, f)));
  return { days: new Map(held.map((one) => [hex(one.eid), one])), own, tickZeroS };
}
export async function ownerRing(seed, firstDay, days, tickZeroS = 0) {
  const keys = await Promise.all(Array.from({ length: days }, async (_, n) => ({
    day: firstDay + n, d: await dayKey(seed, firstDay + n), f: await fetchToken(seed, firstDay + n),
  })));
  return ringOf(keys, await ownKey(seed), tickZeroS);
}
export function shareRing(share, nowS) {
  if (nowS >= share.endsS) throw new Refusal("share_ended");
  return ringOf(share.days, null, 0);
}

// --- A share of days (section 14)
export async function packShare({ endsS, days }) {
  const body = join(1, u32(endsS), u32(days[0].day), ...days.flatMap(({ d, f }) => [d, f]));
  return base64url(join(body, (await sha256(body)).slice(0, 4)));
}
export async function readShare(link) {
  const word = link.slice(link.lastIndexOf("#") + 1).trim(), wrong = new Refusal("share_malformed");
  if (!/^[\w-]{82,2002}$/.test(word) || word.length % 4 === 1) throw wrong;
  const bytes = unbase64url(word), body = bytes.slice(0, -4), many = (body.length - 9) / 48;
  const check = hex((await sha256(body)).slice(0, 4));
  if (base64url(bytes) !== word || check !== hex(bytes.slice(-4)) || body[0] !== 1) throw wrong;
  const first = view(body).getUint32(5);
  if (!Number.isInteger(many) || many < 1 || many > SHARE_DAYS || first + many > 2 ** 32) throw wrong;
  const days = Array.from({ length: many }, (_, n) => {
    const at = 9 + 48 * n;
    return { day: first + n, d: body.slice(at, at + 32), f: body.slice(at + 32, at + 48) };
  });
  return { endsS: view(body).getUint32(1), days };
}

// --- A sealed report (section 3) and its frame's tail (section 1)
const reportInfo = (eid) => join("hearsight report v1", eid);
export async function sealReport(report, dayPublicKey) {
  const plain = new Uint8Array(24), at = view(plain), eid = await eidOf(dayPublicKey);
  at.setInt32(0, report.latE7);
  at.setInt32(4, report.lonE7);
  at.setUint32(8, report.unixS);
  at.setUint16(12, report.accuracyM);
  at.setInt8(14, report.rssiDbm);
  plain.set([report.status, ...report.tail, report.gatewayClass], 15);
  return join(1, eid, await hpkeSeal(plain, dayPublicKey, reportInfo(eid)));
}
// `held`: a day of a ring, not always the one that it is filed under. Throws Refusal.
export async function openReport(report, held) {
  if (report.length !== REPORT_LEN || report[0] !== 1) throw new Refusal("report_shape");
  const plain = await hpkeOpen(report.subarray(17), held.key, held.pub, held.context).catch(() => null);
  if (!plain) throw new Refusal("report_sealed");
  if (plain[21] || plain[22] || plain[23]) throw new Refusal("report_shape");
  const at = view(plain);
  return {
    latE7: at.getInt32(0), lonE7: at.getInt32(4), unixS: at.getUint32(8), accuracyM: at.getUint16(12),
    rssiDbm: at.getInt8(14), status: plain[15], tail: plain.slice(16, 20), gatewayClass: plain[20],
  };
}
export async function tailAt(own, eid, tick, status) {
  const key = own instanceof CryptoKey ? own : await macKey(own);
  const [mask] = await mac(key, "M", eid);
  return join((tick & 255) ^ mask, (await mac(key, "O", 0x21, status, eid, u32(tick))).slice(0, 3));
}

// --- A tag's secret for a member of the household (section 15)
const HOUSEHOLD = text.encode("hearsight household v1");
export async function sealHandover({ serial, tickZeroS, seed }, member) {
  const plain = join(serial / 2 ** 32, u32(serial), u32(tickZeroS), seed);
  return join(1, await hpkeSeal(plain, member, HOUSEHOLD));
}
export async function openHandover(sealed, d) {
  if (sealed.length !== 90 || sealed[0] !== 1) throw new Refusal("handover_shape");
  const opening = hpkeOpen(sealed.subarray(1), await privateKey(d), await publicOf(d), await contextOf(HOUSEHOLD));
  const plain = await opening.catch(() => null);
  if (!plain) throw new Refusal("handover_sealed");
  const at = view(plain);
  return { serial: plain[0] * 2 ** 32 + at.getUint32(1), tickZeroS: at.getUint32(5), seed: plain.slice(9) };
}
