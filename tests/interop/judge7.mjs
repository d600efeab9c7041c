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

function judge (seal, set) {
  const parms = load(new seal.EncryptionParameters(seal.SchemeType.bfv), set, 'parms.none.seal')
  const context = new seal.SEALContext(parms, true, seal.SecLevelType.tc128)
  if (!context.parametersSet()) throw new Error(`${set}: parameters refused`)
  const key = load(new seal.SecretKey(), set, 'sk.none.seal', context)
  const decryptor = new seal.Decryptor(context, key)
  for (const mode of MODES) {
    const c = load(new seal.Ciphertext(), set, `folded.${mode}.seal`, context)
    const plain = new seal.Plaintext()
    decryptor.decrypt(c, plain)
    const bytes = plain.saveToArray(seal.ComprModeType.none)
    const found = words.coefficients(bytes, parms.polyModulusDegree())
    const count = words.checkWords(folder, set, BigInt(parms.plainModulus().value()), found)
    const budget = decryptor.invariantNoiseBudget(c)
    console.log(`${set}: folded.${mode}: ${count} words, noise budget ${budget}`)
  }
}

const entry = path.join(home, 'node_modules', 'node-seal', 'dist', 'index_throws.js')
const seal = await (await import(pathToFileURL(entry))).default()
for (const set of ['cairn_bfv', 'cairn_capsule', 'cairn_seeded', 'cairn_pow2']) judge(seal, set)
