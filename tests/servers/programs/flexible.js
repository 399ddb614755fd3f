// Express with rate-limiter-flexible: a GET costs 1 point, a DELETE 2, a POST 3.
//
// Its one argument is JSON: points and seconds of the window; reset, "date" or "epoch", the spelling of X-RateLimit-Reset;
// redis, the URL of a store that several nodes share, or null; bare, the number of the call that is refused without any header
// and without being counted, or null. It prints its port.
'use strict'

const express = require('express')
const { RateLimiterMemory, RateLimiterRedis } = require('rate-limiter-flexible')

const options = JSON.parse(process.argv[2])
const COSTS = { GET: 1, DELETE: 2, POST: 3 }
const window = { points: options.points, duration: options.seconds, keyPrefix: 'api' }

function makeLimiter () {
  if (!options.redis) return new RateLimiterMemory(window)
  const Redis = require('ioredis')
  return new RateLimiterRedis({ ...window, storeClient: new Redis(options.redis) })
}

const limiter = makeLimiter()
let calls = 0

function tell (response, found) {
  const end = Date.now() + found.msBeforeNext
  response.set('X-RateLimit-Limit', String(options.points))
  response.set('X-RateLimit-Remaining', String(Math.max(0, found.remainingPoints)))
  response.set('X-RateLimit-Reset', options.reset === 'date' ? new Date(end).toString() : String(Math.ceil(end / 1000)))
}

async function meter (request, response, next) {
  calls += 1
  if (calls === options.bare) return response.status(429).json({ error: 'Too many requests' })
  try {
    tell(response, await limiter.consume('organisation', COSTS[request.method]))
  } catch (refusal) {
    if (refusal instanceof Error) return next(refusal)
    tell(response, refusal)
    response.set('Retry-After', String(refusal.msBeforeNext / 1000))
    return response.status(429).json({ error: 'Too many requests', data: { msLeft: refusal.msBeforeNext } })
  }
  next()
}

const app = express()
app.use(meter)
app.use((request, response) => response.json({ results: [] }))
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
server.keepAliveTimeout = 120000
