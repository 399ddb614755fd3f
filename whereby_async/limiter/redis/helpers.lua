-- What translated rules need of Python; `translator.py` takes those that are used. Each begins with `local` at the start of a line.
local py_huge = math.huge
local py_floor = math.floor
local py_ceil = math.ceil
local py_exp = math.exp
local py_sqrt = math.sqrt
local py_abs = math.abs
local py_min = math.min
local py_max = math.max
local py_band = bit.band
local py_bor = bit.bor
local py_next = next
local py_ipairs = ipairs
local py_insert = table.insert
local py_remove = table.remove
local py_unpack = unpack
local py_find = string.find
local py_truth = function(x)
  if type(x) == "table" then
    return next(x) ~= nil
  end
  return x ~= nil and x ~= false and x ~= 0 and x ~= ""
end
local py_int = function(x)
  return (x < 0 and math.ceil(x) or math.floor(x)) + 0
end
local py_mod = function(a, b)
  local rest = math.fmod(a, b)
  return (rest ~= 0 and (rest < 0) ~= (b < 0)) and rest + b or rest
end
local py_div = function(a, b)
  local rest = math.fmod(a, b)
  local quotient = (a - rest) / b
  if rest ~= 0 and (rest < 0) ~= (b < 0) then
    quotient = quotient - 1
  end
  local whole = math.floor(quotient)
  return quotient - whole > 0.5 and whole + 1 or whole
end
local py_sum = function(t)
  local sum = 0
  for _, x in ipairs(t) do
    sum = sum + x
  end
  return sum
end
local py_count = function(t)
  local count = 0
  for _ in pairs(t) do
    count = count + 1
  end
  return count
end
local py_clear = function(t)
  for k in pairs(t) do
    t[k] = nil
  end
end
local py_get = function(t, k, other)
  if t[k] == nil then
    return other
  end
  return t[k]
end
local py_pop = function(t, k)
  local v = t[k]
  t[k] = nil
  return v
end
local py_sorted = function(t) -- by bytes: `<` of strings would go by the store's locale
  local list = {}
  for k, v in pairs(t) do
    list[#list + 1] = { k, v }
  end
  table.sort(list, function(one, other)
    local a, b = one[1], other[1]
    if type(a) == "number" then
      return a < b
    end
    for i = 1, math.min(#a, #b) do
      if a:byte(i) ~= b:byte(i) then
        return a:byte(i) < b:byte(i)
      end
    end
    return #a < #b
  end)
  return list
end
