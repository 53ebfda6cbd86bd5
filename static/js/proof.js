// Searches for the number that solves a sign-in's puzzle, in slices, so that the page stays responsive.
// SHA-256 is written out: browsers keep theirs back from pages that come without TLS.

const SLICE_MS = 40;
const FRACTION = 0x100000000;

const primes = [];
for (let candidate = 2; primes.length < 64; candidate += 1) {
  if (primes.every((prime) => candidate % prime)) primes.push(candidate);
}
const K = Uint32Array.from(primes, (prime) => (Math.cbrt(prime) % 1) * FRACTION);
const START = Uint32Array.from(primes.slice(0, 8), (prime) => (Math.sqrt(prime) % 1) * FRACTION);
const rotate = (word, by) => (word >>> by) | (word << (32 - by));

// The first word of the SHA-256 of `bytes`: a puzzle asks for fewer than 32 bits.
export function firstWord(bytes) {
  const blocks = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  blocks.set(bytes);
  blocks[bytes.length] = 0x80;
  const view = new DataView(blocks.buffer);
  view.setUint32(blocks.length - 4, bytes.length * 8);
  const hash = START.slice();
  const words = new Uint32Array(64);
  for (let offset = 0; offset < blocks.length; offset += 64) {
    for (let i = 0; i < 16; i += 1) words[i] = view.getUint32(offset + i * 4);
    for (let i = 16; i < 64; i += 1) {
      const early = words[i - 15];
      const late = words[i - 2];
      words[i] = words[i - 16] + (rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3))
        + words[i - 7] + (rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i += 1) {
      const one = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
      const two = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => { hash[i] += word; });
  }
  return hash[0];
}

// Resolves to the answer that the form's `proof` field takes.
export function solve(puzzle) {
  const bits = Number(puzzle.split(".", 1)[0]);
  const encoder = new TextEncoder();
  let number = 0;
  return new Promise((found) => {
    const slice = () => {
      const until = performance.now() + SLICE_MS;
      while (performance.now() < until) {
        const answer = `${puzzle}|${number}`;
        if (firstWord(encoder.encode(answer)) >>> (32 - bits) === 0) {
          found(answer);
          return;
        }
        number += 1;
      }
      setTimeout(slice);
    };
    slice();
  });
}
