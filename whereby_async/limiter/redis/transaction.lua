-- Answers one request of a member by the state that lies under KEYS[1], as `carry_out` in `shared/shared_core.py` does.
-- KEYS[2] holds the books of the version before, while processes of that version still run: what they spend counts
-- here.

-- What lies under the key begins with a checksum, as in a file: a damaged state may be readable, and stop everybody.
local function checksum(blob)
  return string.sub(redis.sha1hex(blob), 1, 8)
end

local function unsealed(stored)
  local blob = string.sub(stored, 9)
  return checksum(blob) == string.sub(stored, 1, 8) and blob or ""
end

local function read(blob)
  local ok, core = pcall(cmsgpack.unpack, blob)
  if not ok or type(core) ~= "table" or type(core._granted) ~= "number" then
    return nil
  end
  -- Empty dicts are left out below, since they would be read as lists; the plain prices are a cache.
  core._prices, core._plain_prices = core._prices or {}, {}
  return core
end

local function packed(core)
  core._plain_prices = nil
  if next(core._prices) == nil then
    core._prices = nil
  end
  return cmsgpack.pack(core)
end

local function adopt(core, now)
  local books = redis.pcall("HMGET", KEYS[2], "books")[1]
  if books then
    local ok, before = pcall(cmsgpack.unpack, books)
    if ok and type(before) == "table" and type(before.ledger) == "table" then
      M.adopt(core, before.ledger.granted, before.ledger.ageing.released, now)
    end
  end
end

local time = redis.call("TIME")
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local said, offer = cmsgpack.unpack(ARGV[1]), ARGV[2]
local stored = redis.call("HMGET", KEYS[1], "state")[1]
local core = stored and not said.discard and read(unsealed(stored)) or nil
local damaged = stored and stored ~= "" and core == nil or false

local ok, reply, state = pcall(function()
  if not core or not M.fits(core, said, now) then
    local mine = offer ~= "" and read(offer)
    if not mine then
      return { now = now, unknown = true, damaged = damaged }, nil
    end
    M.succeed(mine, core, now)
    core = mine
  end
  adopt(core, now)
  local reply = M.transact(core, said, now)
  return reply, packed(core)
end)
if ok and not state then
  return { cmsgpack.pack(reply), "" }
end
if not ok then
  -- A state that can be read and makes no sense is thrown away.
  reply, state = { now = now, unknown = true, damaged = true }, ""
end
redis.call("HSET", KEYS[1], "state", ok and checksum(state) .. state or "")
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return { cmsgpack.pack(reply), state }
