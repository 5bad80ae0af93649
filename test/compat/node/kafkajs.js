// kafkajs against the broker in argv[2]: admin, producer, consumer, groups.
const { Kafka, logLevel, CompressionTypes } = require('kafkajs')
const assert = require('node:assert')

const run = Date.now()
const kafka = new Kafka({ clientId: 'compat', brokers: process.argv[2].split(','), logLevel: logLevel.ERROR })

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  const topic = `js-${run}`
  assert.strictEqual(await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] }), true)
  assert.strictEqual(await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] }), false)
  assert.ok((await admin.listTopics()).includes(topic))
  const cluster = await admin.describeCluster()
  assert.strictEqual(cluster.brokers.length, 1)

  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: `v${i}`, headers: { n: `${i}` } }))
  await producer.send({ topic, messages, compression: CompressionTypes.GZIP })
  await producer.send({ topic, messages, acks: -1 })

  const consumer = kafka.consumer({ groupId: `js-group-${run}` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const seen = []
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${seen.length} messages`)), 30000).unref()
    consumer.run({
      eachMessage: async ({ message }) => {
        seen.push(`${message.key}=${message.value}/${message.headers.n}`)
        if (seen.length === 200) resolve()
      },
    }).catch(reject)
  })
  assert.strictEqual(new Set(seen).size, 100)
  const groups = await admin.describeGroups([`js-group-${run}`])
  assert.strictEqual(groups.groups[0].state, 'Stable')
  await consumer.disconnect()
  const offsets = await admin.fetchOffsets({ groupId: `js-group-${run}`, topics: [topic] })
  assert.strictEqual(offsets[0].partitions.reduce((sum, p) => sum + Number(p.offset), 0), 200)
  const ends = await admin.fetchTopicOffsets(topic)
  assert.strictEqual(ends.reduce((sum, p) => sum + Number(p.high), 0), 200)
  const idempotent = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await idempotent.connect()
  await idempotent.send({ topic, messages })
  await idempotent.disconnect()
  await admin.deleteGroups([`js-group-${run}`])
  await admin.deleteTopics({ topics: [topic] })
  await producer.disconnect()
  await admin.disconnect()
  console.log('OK')
}

main().catch((e) => { console.error(e); process.exit(1) })
