// SPDX-License-Identifier: Apache-2.0
// node-seal judges what seal_tool wrote, and writes what seal_tool then has to read.
//   node judge.js FOLDER-WITH-node_modules FOLDER-OF-SETS
'use strict'
const fs = require('fs')
const path = require('path')

const words = require('./judge_words.js')

const [, , home, folder] = process.argv
const MODES = ['none', 'zlib', 'zstd']
const TOLERANCE = 1e-6 // noise at scale 2^40 was measured at 7e-9

let checks = 0
function check (ok, what) {
  checks++
  if (!ok) throw new Error(what)
}

const read = (set, name) => words.read(folder, set, name)
const write = (set, name, bytes) => fs.writeFileSync(path.join(folder, set, name), bytes)
const exists = (set, name) => fs.existsSync(path.join(folder, set, name))

// As in seal_tool.c
const bfvMessage = (i, t) => BigInt.asUintN(64, BigInt(i) * 0x9E3779B97F4A7C15n + 7n) % t

class Set {
  constructor (seal, name, parmsName = 'parms.none.seal') {
    this.seal = seal
    this.name = name
    this.parms = seal.EncryptionParameters()
    this.parms.loadArray(read(name, parmsName))
    this.context = seal.Context(this.parms, true, seal.SecurityLevel.tc128)
    if (!this.context.parametersSet()) throw new Error(`${name}: parameters refused`)
    this.n = this.parms.polyModulusDegree
    this.ckks = this.parms.scheme === seal.SchemeType.ckks
    this.mode = seal.ComprModeType
    if (this.ckks) this.encoder = seal.CKKSEncoder(this.context)
  }

  secretKey (name) {
    const key = this.seal.SecretKey()
    key.loadArray(this.context, read(this.name, name))
    return key
  }

  publicKey (name) {
    const key = this.seal.PublicKey()
    key.loadArray(this.context, read(this.name, name))
    return key
  }

  plain (name) {
    const p = this.seal.PlainText()
    p.loadArray(this.context, read(this.name, name))
    return p
  }

  cipher (name) {
    const c = this.seal.CipherText()
    c.loadArray(this.context, read(this.name, name))
    return c
  }

  values (plain) {
    if (this.ckks) return Array.from(this.encoder.decode(plain))
    return words.coefficients(plain.saveArray(this.mode.none), this.n)
  }

  // Is `plain` the message of this set, `times` over?
  checkMessage (plain, times, what) {
    const found = this.values(plain)
    const t = this.ckks ? 0n : BigInt(this.parms.plainModulus.value)
    for (let i = 0; i < found.length; i++) {
      const ok = this.ckks
        ? Math.abs(found[i] - times * (0.001 * i - 1)) < TOLERANCE
        : found[i] === BigInt(times) * bfvMessage(i, t) % t
      check(ok, `${this.name}: ${what}: value ${i} is ${found[i]}`)
    }
  }
}

function saveAll (set, name, object) {
  for (const mode of MODES) {
    write(set.name, `${name}.${mode}.seal`, object.saveArray(set.mode[mode]))
  }
}

// Everything that seal_tool wrote for this set loads and opens to the message.
function judgeOurs (set, decryptor) {
  for (const mode of MODES) {
    for (const [name, times] of [['ct', 1], ['sct', 1], ['sum', 2], ['low', 1], ['slow', 1]]) {
      const file = `${name}.${mode}.seal`
      if (!exists(set.name, file)) continue
      const c = set.cipher(file)
      check(!c.isTransparent, `${set.name}: ${file} is transparent`)
      set.checkMessage(decryptor.decrypt(c), times, file)
    }
    for (const name of ['pk', 'spk']) {
      const encryptor = set.seal.Encryptor(set.context, set.publicKey(`${name}.${mode}.seal`))
      const c = encryptor.encrypt(set.plain('pt.none.seal'))
      set.checkMessage(decryptor.decrypt(c), 1, `encrypted under ${name}.${mode}`)
    }
    const again = new Set(set.seal, set.name, `parms.${mode}.seal`)
    check(again.context.toHuman() === set.context.toHuman(), `${set.name}: parms.${mode}`)
  }
  set.checkMessage(set.plain('pt.none.seal'), 1, 'pt.none.seal')
}

// What node-seal makes: with our keys, with keys of its own, and our objects saved again.
function writeBack (set, key) {
  const seal = set.seal
  const publicKey = set.publicKey('pk.none.seal')
  const plain = set.plain('pt.none.seal')
  const encryptor = seal.Encryptor(set.context, publicKey, key)
  const c = encryptor.encrypt(plain)
  const sum = seal.CipherText()
  seal.Evaluator(set.context).add(c, set.cipher('sct.none.seal'), sum)
  saveAll(set, 'node.parms', set.parms)
  saveAll(set, 'node.sk', key)
  saveAll(set, 'node.pk', publicKey)
  saveAll(set, 'node.pt', plain)
  saveAll(set, 'node.ct', c)
  saveAll(set, 'node.sum', sum)
  saveAll(set, 'node.again.ct', set.cipher('ct.none.seal'))
  saveAll(set, 'node.sct', encryptor.encryptSymmetricSerializable(plain))
  const generator = seal.KeyGenerator(set.context)
  saveAll(set, 'node.own.sk', generator.secretKey())
  saveAll(set, 'node.own.pk', generator.createPublicKey())
  saveAll(set, 'node.own.spk', generator.createPublicKeySerializable())
}

// A sum of cairn's own ciphertexts: the answers, rounded as the set says, are the lane words.
function judgeFolded (set) {
  const decryptor = set.seal.Decryptor(set.context, set.secretKey('sk.none.seal'))
  const t = BigInt(set.parms.plainModulus.value)
  for (const mode of MODES) {
    const c = set.cipher(`folded.${mode}.seal`)
    checks += words.checkWords(folder, set.name, t, set.values(decryptor.decrypt(c)))
    console.log(`${set.name}: folded.${mode}: noise budget ${decryptor.invariantNoiseBudget(c)}`)
  }
}

// A sum of profile seal-ckks: whole numbers in the slots, also after node-seal has added an encryption
// of its own under our public key.
function judgeSlots (set) {
  const decryptor = set.seal.Decryptor(set.context, set.secretKey('sk.none.seal'))
  for (const mode of MODES) {
    const folded = set.cipher(`folded.${mode}.seal`)
    checks += words.checkSlots(folder, set.name, set.values(decryptor.decrypt(folded)), 0)
    const encryptor = set.seal.Encryptor(set.context, set.publicKey(`pk.${mode}.seal`))
    const ones = set.encoder.encode(new Float64Array(set.n / 2).fill(1), 2 ** 40)
    const sum = set.seal.CipherText()
    set.seal.Evaluator(set.context).add(folded, encryptor.encrypt(ones), sum)
    checks += words.checkSlots(folder, set.name, set.values(decryptor.decrypt(sum)), 1)
  }
  console.log(`${set.name}: folded: good`)
}

async function main () {
  const module = path.join(home, 'node_modules', 'node-seal')
  const seal = await require(module)()
  const { version } = require(path.join(module, 'package.json'))
  for (const name of ['bfv1', 'bfv1_v37', 'bfv3', 'ckks', 'ckks_v37']) {
    const set = new Set(seal, name)
    const key = set.secretKey('sk.none.seal')
    judgeOurs(set, seal.Decryptor(set.context, key))
    writeBack(set, key)
    console.log(`${name}: good`)
  }
  judgeFolded(new Set(seal, 'cairn_bfv'))
  judgeFolded(new Set(seal, 'cairn_capsule'))
  judgeFolded(new Set(seal, 'cairn_seeded'))
  judgeSlots(new Set(seal, 'cairn_ckks'))
  judgeSlots(new Set(seal, 'cairn_ckks_v37'))
  console.log('cairn_pow2: not judged here: node-seal before 7 takes no plain modulus of 2^T')
  console.log(`node-seal ${version} on node ${process.version}: ${checks} checks`)
}

main().catch(e => {
  console.error(e)
  process.exit(1)
})
