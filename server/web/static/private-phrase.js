// A tag's secret as 24 words that a person can write down: owner/phrase.py in the browser. 24 words of BIP-39's English
// list hold 256 bits and a checksum of eight; the first four letters tell a word.
import { Refusal, sha256 } from "./private.js";
import { WORDS } from "./private-words.js";

const MANY = 24, BITS = 11, TEXT_MAX = 1_000, NEAR_MAX = 3;

export async function phraseOf(seed) {
  const bits = [...seed, (await sha256(seed))[0]].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return Array.from({ length: MANY }, (_, n) => WORDS[parseInt(bits.slice(n * BITS, (n + 1) * BITS), 2)]);
}

// From what somebody typed: any case, any blanks, numbers before the words, beginnings that only one word has. Throws
// Refusal: phrase_words (with `count`), phrase_word (with `place` and `near`: what may be meant), phrase_checksum.
export async function seedOf(text) {
  const typed = text.length > TEXT_MAX ? [] : text.toLowerCase().replaceAll(",", " ").split(/\s+/)
    .filter((word) => word && !/^[.)]*\d+[.)]*$/.test(word));
  if (typed.length !== MANY) throw Object.assign(new Refusal("phrase_words"), { count: typed.length });
  const bits = typed.map((word, n) => indexOf(word, n + 1).toString(2).padStart(BITS, "0")).join("");
  const bytes = Uint8Array.from(bits.match(/.{8}/g), (eight) => parseInt(eight, 2)), seed = bytes.slice(0, 32);
  if ((await sha256(seed))[0] !== bytes[32]) throw new Refusal("phrase_checksum");
  return seed;
}

function indexOf(typed, place) {
  const found = WORDS.indexOf(typed), fitting = WORDS.filter((word) => word.startsWith(typed));
  if (found >= 0) return found;
  if (fitting.length === 1) return WORDS.indexOf(fitting[0]);
  const near = fitting.length ? fitting : WORDS.filter((word) => mistakes(typed, word) <= 2);
  near.sort((a, b) => mistakes(typed, a) - mistakes(typed, b));
  throw Object.assign(new Refusal("phrase_word"), { place, near: near.slice(0, NEAR_MAX) });
}

// How many letters must be changed, added or left out to make one word of the other.
function mistakes(one, other) {
  if (Math.abs(one.length - other.length) > 2) return 3;
  let row = Array.from({ length: other.length + 1 }, (_, n) => n);
  [...one].forEach((letter, n) => {
    const next = [n + 1];
    [...other].forEach((theirs, m) => next.push(Math.min(next[m] + 1, row[m + 1] + 1, row[m] + (letter !== theirs))));
    row = next;
  });
  return row.at(-1);
}
