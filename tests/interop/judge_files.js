// SPDX-License-Identifier: Apache-2.0
// node-seal opens a sum of `cairn add --format seal`, and encrypts an update of its own.
//   node judge_files.js FOLDER-WITH-node_modules NAME
// Reads NAME.public.parms, NAME.public, NAME.secret, NAME.sum; writes NAME.words or NAME.slots, what
// the ciphertexts hold, and NAME.3, as many ciphertexts with 5 in the first place of the first.
'use strict'
const fs = require('fs')
const path = require('path')
const { coefficients } = require('./judge_words.js')

const [, , home, name] = process.argv

const load = (object, file, context) => {
  const bytes = new Uint8Array(fs.readFileSync(file))
  context ? object.loadArray(context, bytes) : object.loadArray(bytes)
  return object
}

// What SEAL's stream load does in a loop: an object says how long it is.
function split (bytes) {
  const parts = []
  for (let at = 0; at < bytes.length;) {
    const size = Number(bytes.readBigUInt64LE(at + 8))
    parts.push(new Uint8Array(bytes.subarray(at, at + size)))
    at += size
  }
  return parts
}

async function main () {
  const seal = await require(path.join(home, 'node_modules', 'node-seal'))()
  const parms = load(seal.EncryptionParameters(), `${name}.public.parms`)
  const context = seal.Context(parms, true, seal.SecurityLevel.tc128)
  if (!context.parametersSet()) throw new Error('parameters refused')
  const decryptor = seal.Decryptor(context, load(seal.SecretKey(), `${name}.secret`, context))
  const encryptor = seal.Encryptor(context, load(seal.PublicKey(), `${name}.public`, context))
  const ckks = parms.scheme === seal.SchemeType.ckks
  const encoder = ckks ? seal.CKKSEncoder(context) : null
  const n = parms.polyModulusDegree
  const found = []
  const own = []
  for (const bytes of split(fs.readFileSync(`${name}.sum`))) {
    const c = seal.CipherText()
    c.loadArray(context, bytes)
    const plain = decryptor.decrypt(c)
    found.push(...(ckks
      ? encoder.decode(plain)
      : coefficients(plain.saveArray(seal.ComprModeType.none), n)))
    const five = own.length === 0 ? 5 : 0
    let message
    if (ckks) {
      const slots = new Float64Array(n / 2)
      slots[0] = five
      message = encoder.encode(slots, 2 ** 40)
    } else {
      message = constant(BigInt(five))
    }
    own.push(Buffer.from(encryptor.encrypt(message).saveArray(seal.ComprModeType.zstd)))
  }
  fs.writeFileSync(`${name}.${ckks ? 'slots' : 'words'}`,
    Buffer.from((ckks ? Float64Array : BigUint64Array).from(found).buffer))
  fs.writeFileSync(`${name}.3`, Buffer.concat(own))

  // A plaintext of one coefficient, from the bytes of SEAL's format.
  function constant (value) {
    const bytes = Buffer.alloc(96)
    bytes.set([0x5e, 0xa1, 0x10, 4, 1, 0, 0, 0], 0)
    bytes.writeBigUInt64LE(96n, 8)
    bytes.writeBigUInt64LE(1n, 48) // coefficients; the parms_id before is zero
    bytes.writeDoubleLE(1, 56)
    bytes.set([0x5e, 0xa1, 0x10, 4, 1, 0, 0, 0], 64)
    bytes.writeBigUInt64LE(32n, 72)
    bytes.writeBigUInt64LE(1n, 80)
    bytes.writeBigUInt64LE(value, 88)
    const plain = seal.PlainText()
    plain.loadArray(context, new Uint8Array(bytes))
    return plain
  }
}

main().catch(e => {
  console.error(e)
  process.exit(1)
})
