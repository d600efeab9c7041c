// SPDX-License-Identifier: Apache-2.0
// The work of bench/compare.sh through node-seal (Microsoft SEAL as WebAssembly): encrypt, add,
// decrypt. Prints JSON. Arguments: parameters, clients. Updates are those of run_tenseal.py.
'use strict'

const SEAL = require('node-seal')

const STEP = 2 ** -15
const REPEATS = 5
const nParams = Number(process.argv[2] || 200000)
const nClients = Number(process.argv[3] || 15)

function update(client) {
  const values = new Int32Array(nParams)
  for (let i = 0; i < nParams; i++) values[i] = ((i * 7919 + client * 104729) % 65535) - 32767
  return values
}

function timed(work) {
  const begin = process.hrtime.bigint()
  const result = work()
  return [result, Number(process.hrtime.bigint() - begin)]
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

// What both schemes share: keys, and the objects that do the work.
function makeTools(seal, parameters) {
  const context = seal.Context(parameters, true, seal.SecurityLevel.tc128)
  if (!context.parametersSet()) throw new Error('SEAL refuses the parameters')
  const keys = seal.KeyGenerator(context)
  return {
    seal,
    context,
    encryptor: seal.Encryptor(context, keys.createPublicKey()),
    decryptor: seal.Decryptor(context, keys.secretKey()),
    evaluator: seal.Evaluator(context)
  }
}

// SEAL's own default for 128 bits at N = 4096, and the smallest plain modulus that holds a sum of
// signed 16-bit values and allows batching.
function bfvScheme(seal) {
  const degree = 4096
  const bits = Math.ceil(Math.log2(nClients * 65534 + 1)) + 1
  const parameters = seal.EncryptionParameters(seal.SchemeType.bfv)
  parameters.setPolyModulusDegree(degree)
  parameters.setCoeffModulus(seal.CoeffModulus.BFVDefault(degree, seal.SecurityLevel.tc128))
  parameters.setPlainModulus(seal.PlainModulus.Batching(degree, bits))
  const tools = makeTools(seal, parameters)
  const encoder = seal.BatchEncoder(tools.context)
  return {
    name: 'node-seal BFV',
    note: `N=4096, ${bits}-bit plain modulus, ${degree} parameters a ciphertext`,
    ...tools,
    slots: degree,
    prepare: (values) => values,
    encode: (values, plain) => encoder.encode(values, plain),
    decode: (plain) => encoder.decode(plain, true),
    toSteps: (value) => value
  }
}

function ckksScheme(seal) {
  const degree = 8192
  const parameters = seal.EncryptionParameters(seal.SchemeType.ckks)
  parameters.setPolyModulusDegree(degree)
  parameters.setCoeffModulus(seal.CoeffModulus.Create(degree, Int32Array.from([60, 40, 40, 60])))
  const tools = makeTools(seal, parameters)
  const encoder = seal.CKKSEncoder(tools.context)
  return {
    name: 'node-seal CKKS',
    note: `N=8192, {60,40,40,60}, ${degree / 2} parameters a ciphertext`,
    ...tools,
    slots: degree / 2,
    prepare: (values) => Float64Array.from(values, (v) => v * STEP),
    encode: (values, plain) => encoder.encode(values, 2 ** 40, plain),
    decode: (plain) => encoder.decode(plain),
    toSteps: (value) => value / STEP
  }
}

function encryptAll(s, pieces) {
  return pieces.map((piece) => {
    const plain = s.seal.PlainText()
    const cipher = s.seal.CipherText()
    s.encode(piece, plain)
    s.encryptor.encrypt(plain, cipher)
    plain.delete()
    return cipher
  })
}

function decryptAll(s, ciphers) {
  return ciphers.map((cipher) => {
    const plain = s.seal.PlainText()
    s.decryptor.decrypt(cipher, plain)
    const values = s.decode(plain)
    plain.delete()
    return values
  })
}

function largestError(s, opened, total) {
  let largest = 0
  for (let i = 0; i < nParams; i++) {
    const value = s.toSteps(opened[Math.floor(i / s.slots)][i % s.slots])
    largest = Math.max(largest, Math.abs(value - total[i]))
  }
  return largest
}

function measure(s) {
  const times = { encrypt: [], serialise: [], add: [] }
  const total = new Float64Array(nParams)
  let sums = null
  let size = 0
  process.stderr.write(`compare: ${s.name}, ${nParams} parameters\n`)
  for (let client = 0; client < nClients; client++) {
    const values = update(client)
    values.forEach((v, i) => { total[i] += v })
    const pieces = []
    for (let i = 0; i < nParams; i += s.slots) pieces.push(s.prepare(values.slice(i, i + s.slots)))
    if (client === 0) encryptAll(s, pieces.slice(0, 4)).forEach((c) => c.delete()) // warms up
    const [ciphers, encryptNs] = timed(() => encryptAll(s, pieces))
    const [sent, serialiseNs] = timed(() =>
      ciphers.map((c) => c.saveArray(s.seal.ComprModeType.zstd)))
    times.encrypt.push(encryptNs)
    times.serialise.push(serialiseNs)
    size = sent.reduce((sum, bytes) => sum + bytes.length, 0)
    if (sums === null) {
      sums = ciphers
      continue
    }
    times.add.push(timed(() => ciphers.forEach((c, i) => s.evaluator.add(sums[i], c, sums[i])))[1])
    ciphers.forEach((c) => c.delete())
  }
  const opened = decryptAll(s, sums)
  const decrypts = Array.from({ length: REPEATS }, () => timed(() => decryptAll(s, sums))[1])
  sums.forEach((c) => c.delete())
  return {
    name: s.name,
    note: s.note,
    params: nParams,
    clients: nClients,
    encrypt_ns: median(times.encrypt) / nParams,
    serialise_ns: median(times.serialise) / nParams,
    add_ns: median(times.add) / nParams,
    decrypt_ns: median(decrypts) / nParams,
    bytes: size / nParams,
    max_error_steps: largestError(s, opened, total)
  }
}

async function main() {
  const seal = await SEAL()
  const results = [ckksScheme, bfvScheme].map((scheme) => measure(scheme(seal)))
  const { version } = require('node-seal/package.json')
  process.stdout.write(JSON.stringify({ version, results }))
}

main().catch((error) => {
  process.stderr.write(`compare: node-seal: ${error && error.stack ? error.stack : error}\n`)
  process.exitCode = 1
})
