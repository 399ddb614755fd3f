// Fastify with @fastify/rate-limit: every call costs 1. Its one argument is JSON: points and seconds. It prints its port.
'use strict'

const fastify = require('fastify')
const rateLimit = require('@fastify/rate-limit')

const options = JSON.parse(process.argv[2])

async function main () {
  const app = fastify({ keepAliveTimeout: 120000 })
  await app.register(rateLimit, { max: options.points, timeWindow: options.seconds * 1000, keyGenerator: () => 'organisation' })
  app.route({ method: ['GET', 'POST', 'DELETE'], url: '/', handler: async () => ({ results: [] }) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  console.log(app.server.address().port)
}

main()
