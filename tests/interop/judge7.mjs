// SPDX-License-Identifier: Apache-2.0
// node-seal 7, which has another interface and needs Node 24, judges cairn's own ciphertexts; it
// also takes a plain modulus of 2^T.
//   node judge7.mjs FOLDER-WITH-node_modules FOLDER-OF-SETS
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import words from './judge_words.js'

const [, , home, folder] = process.argv
const MODES = ['none', 'zlib', 'zstd']

function load (object, set, name, context) {
  const bytes = words.read(folder, set, name)
  if (context) object.loadFromArray(context, bytes)
  else object.loadFromArray(bytes)
  return object
}

function open (seal, set, scheme) {
  const parms = load(new seal.EncryptionParameters(scheme), set, 'parms.none.seal')
  const context = new seal.SEALContext(parms, true, seal.SecLevelType.tc128)
  if (!context.parametersSet()) throw new Error(`${set}: parameters refused`)
  const key = load(new seal.SecretKey(), set, 'sk.none.seal', context)
  const decryptor = new seal.Decryptor(context, key)
  const decrypt = c => {
    const plain = new seal.Plaintext()
    decryptor.decrypt(c, plain)
    return plain
  }
  const folded = mode => load(new seal.Ciphertext(), set, `folded.${mode}.seal`, context)
  return { parms, context, decryptor, decrypt, folded }
}

function judge (seal, set) {
  const { parms, decryptor, decrypt, folded } = open(seal, set, seal.SchemeType.bfv)
  for (const mode of MODES) {
    const c = folded(mode)
    const bytes = decrypt(c).saveToArray(seal.ComprModeType.none)
    const found = words.coefficients(bytes, parms.polyModulusDegree())
    const count = words.checkWords(folder, set, BigInt(parms.plainModulus().value()), found)
    const budget = decryptor.invariantNoiseBudget(c)
    console.log(`${set}: folded.${mode}: ${count} words, noise budget ${budget}`)
  }
}

// Profile seal-ckks: whole numbers in the slots.
function judgeSlots (seal, set) {
  const { context, decrypt, folded } = open(seal, set, seal.SchemeType.ckks)
  const encoder = new seal.CKKSEncoder(context)
  for (const mode of MODES) {
    const count = words.checkSlots(folder, set, encoder.decodeFloat64(decrypt(folded(mode))), 0)
    console.log(`${set}: folded.${mode}: ${count} slots`)
  }
}

const entry = path.join(home, 'node_modules', 'node-seal', 'dist', 'index_throws.js')
const seal = await (await import(pathToFileURL(entry))).default()
for (const set of ['cairn_bfv', 'cairn_capsule', 'cairn_seeded', 'cairn_pow2']) judge(seal, set)
for (const set of ['cairn_ckks', 'cairn_ckks_v37']) judgeSlots(seal, set)
