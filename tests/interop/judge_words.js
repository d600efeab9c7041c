// SPDX-License-Identifier: Apache-2.0
// What the judges have in common: files, and the lane words of cairn's own ciphertexts.
'use strict'
const fs = require('fs')
const path = require('path')

const read = (folder, set, name) => new Uint8Array(fs.readFileSync(path.join(folder, set, name)))

// Coefficients of a BFV plaintext, from its uncompressed bytes: 88 bytes, then words.
function coefficients (bytes, n) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = Number(view.getBigUint64(48, true))
  const out = new Array(n).fill(0n)
  for (let i = 0; i < count; i++) out[i] = view.getBigUint64(88 + 8 * i, true)
  return out
}

// Integer division that rounds to the nearest.
function divideRound (a, b) {
  const twice = 2n * a + b
  const quotient = twice / (2n * b)
  return twice % (2n * b) < 0n ? quotient - 1n : quotient
}

// Are these answers modulo t, rounded as the set says, its lane words? Returns how many were
// compared.
function checkWords (folder, set, t, found) {
  const [numerator, denominator] = fs.readFileSync(path.join(folder, set, 'scale.txt'), 'utf8')
    .trim().split(' ').map(BigInt)
  const bytes = read(folder, set, 'expect.words')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < found.length; i++) {
    const expected = view.getBigInt64(8 * i, true)
    const centred = 2n * found[i] > t ? found[i] - t : found[i]
    const word = divideRound(centred * numerator, denominator)
    if (word !== expected) throw new Error(`${set}: word ${i} is ${word}, not ${expected}`)
  }
  return found.length
}

// Are these slots the set's whole numbers, each with `more` added?
function checkSlots (folder, set, found, more) {
  const bytes = read(folder, set, 'expect.words')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < found.length; i++) {
    const expected = Number(view.getBigInt64(8 * i, true)) + more
    if (!(Math.abs(found[i] - expected) < 1e-6)) { // also NaN
      throw new Error(`${set}: slot ${i} is ${found[i]}, not ${expected}`)
    }
  }
  return found.length
}

module.exports = { read, coefficients, checkWords, checkSlots }
