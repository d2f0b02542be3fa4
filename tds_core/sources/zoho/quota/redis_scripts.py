"""Lua scripts that count and admit calls in one atomic step for all processes.

Each script takes the keys of `redis_counter.KEYS` and one JSON document. Times are epoch seconds of Redis's clock,
unless `now` is given. A call counts against the minute from its admission until a minute after its answer: Zoho
may have counted it at any time in between, so no window of a minute, wherever it begins, sees more than was admitted.
"""

_COMMON = """
local MINUTE, FLYING, QUEUE, SEEN, STATE, DAY, MINUTES, HOURS = unpack(KEYS)
local ask = cjson.decode(ARGV[1])
local now = ask.now
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local function text(number) return string.format('%.6f', number) end
local function number(key, field) return tonumber(redis.call('HGET', key, field) or '') end
local function put_off(field, moment)
  if moment > (number(STATE, field) or 0) then redis.call('HSET', STATE, field, text(moment)) end
end
local function begin_day(ends_at)
  local day = redis.call('HINCRBY', DAY, 'number', 1)
  for _, field in ipairs(redis.call('HKEYS', DAY)) do
    if field ~= 'number' and field ~= 'told_limit' and field ~= 'reset_told' then redis.call('HDEL', DAY, field) end
  end
  redis.call('HSET', DAY, 'reset_at', text(ends_at))
  return day
end
-- Counts calls in spans of time; the first call of a span drops the spans nobody asks for any more.
local function tally(key, span, keep, class, count)
  local current = math.floor(now / span)
  local field = string.format('%d|%s', current, class)
  if redis.call('HINCRBY', key, field, count) == count then
    for _, old in ipairs(redis.call('HKEYS', key)) do
      if tonumber(string.match(old, '^%d+')) <= current - keep then redis.call('HDEL', key, old) end
    end
  end
  redis.call('PEXPIRE', key, 864000000)
end
local function count(class, calls)
  redis.call('HINCRBY', DAY, 'used', calls)
  tally(MINUTES, ask.minute, 60, class, calls)
  tally(HOURS, ask.minute * 60, 192, class, calls)
end
"""

ADMIT = (
    _COMMON
    + """
local born = redis.call('HGET', STATE, 'born')
if not born then
  born = text(now)
  redis.call('HSET', STATE, 'born', born)
end
-- This memory is younger than the caller's: what was asked before is forgotten here but not at Zoho.
if ask.born ~= '' and ask.born ~= born then put_off('blocked_until', tonumber(born) + ask.minute) end
if ask.unseen then put_off('blocked_until', now + ask.minute) end

redis.call('ZREMRANGEBYSCORE', MINUTE, '-inf', text(now))
redis.call('ZREMRANGEBYSCORE', FLYING, '-inf', text(now))
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', SEEN, '-inf', text(now))) do redis.call('ZREM', QUEUE, dead) end
redis.call('ZREMRANGEBYSCORE', SEEN, '-inf', text(now))

local day, reset_at = number(DAY, 'number'), number(DAY, 'reset_at')
if not reset_at or now >= reset_at then
  local anchor = redis.call('HGET', DAY, 'reset_told') and reset_at or ask.reset_at
  local left = (anchor - now) % ask.day
  reset_at = now + (left > 0 and left or ask.day)
  day = begin_day(reset_at)
end
local used = number(DAY, 'used') or 0

local function reply(verdict, wait, why)
  if verdict ~= 'wait' then
    redis.call('ZREM', QUEUE, ask.id)
    redis.call('ZREM', SEEN, ask.id)
  end
  return cjson.encode({verdict = verdict, wait_seconds = wait, why = why, born = born, day = day, day_used = used})
end

local spent_until = number(DAY, 'spent_until') or 0
if spent_until > now then return reply('day', spent_until - now, 'the source says it is spent') end
local limit = ask.day_limit
if limit > 0 then
  limit = math.min(limit, number(DAY, 'told_limit') or limit)
  local ceiling = math.max(1, math.floor(limit * ask.share + 1e-9))
  if used >= ceiling then
    return reply('day', reset_at - now, string.format('%d of %d used, all this class may', used, limit))
  end
end

local place = redis.call('ZSCORE', QUEUE, ask.id)
local ahead = redis.call('ZCOUNT', QUEUE, '-inf', place and '(' .. place or text((ask.rank + 1) * 1e12 - 1))
local wait, why = (number(STATE, 'blocked_until') or 0) - now, 'the whole minute is blocked'
local asked, flying = redis.call('ZCARD', MINUTE), redis.call('ZCARD', FLYING)
if ask.minute_ceiling > 0 and asked + ahead >= ask.minute_ceiling then
  local next = math.max(0, math.min(asked - 1, asked - ask.minute_ceiling + ahead))
  local ends = redis.call('ZRANGE', MINUTE, next, next, 'WITHSCORES')[2]
  local free = ends and math.min(tonumber(ends) - now, ask.minute) or ask.poll
  if free > wait then wait, why = free, 'the minute is full' end
end
if ask.spread > 0 then
  -- A sixth of the minute's calls in a sixth of the minute: back-fill flows evenly and leaves room at any moment.
  local since = now + ask.minute * 5 / 6
  local recent = redis.call('ZRANGEBYSCORE', MINUTE, '(' .. text(since), '+inf', 'WITHSCORES')
  local over = #recent / 2 + ahead - ask.spread
  if over >= 0 then
    local ends = tonumber(recent[2 * math.min(over + 1, #recent / 2)] or '') or since + ask.poll
    local free = math.min(ends - since, ask.minute / 6)
    if free > wait then wait, why = free, 'the minute is to be used evenly' end
  end
end
if ask.concurrent_ceiling > 0 then
  local ceiling, lowered_to = ask.concurrent_ceiling, number(STATE, 'lowered_to')
  if lowered_to and number(STATE, 'lowered_until') > now then
    ceiling = math.max(1, ceiling - math.max(0, ask.concurrent_limit - lowered_to))
  end
  if flying + ahead >= ceiling and ask.poll > wait then wait, why = ask.poll, 'too many calls at once' end
end
if wait > ask.wait then return reply('rate', wait, why) end
if wait > 0 then
  if not place then
    redis.call('ZADD', QUEUE, text(ask.rank * 1e12 + redis.call('HINCRBY', STATE, 'turn', 1)), ask.id)
  end
  redis.call('ZADD', SEEN, text(now + ask.patience), ask.id)
  return reply('wait', wait, why)
end

redis.call('ZADD', MINUTE, text(now + ask.lease + ask.minute), ask.id)
redis.call('ZADD', FLYING, text(now + ask.lease), ask.id)
redis.call('HINCRBY', DAY, ask.class, 1)
count(ask.class, 1)
used = used + 1
return reply('go', 0, '')
"""
)

ANSWER = (
    _COMMON
    + """
redis.call('ZREM', FLYING, ask.id)
redis.call('ZADD', MINUTE, 'XX', text(now + ask.minute), ask.id)
if ask.code == 44 then put_off('blocked_until', now + math.max(ask.minute, ask.wait_seconds or 0)) end
if ask.code == 1070 then
  local current = ask.concurrent_limit
  if (number(STATE, 'lowered_until') or 0) > now then current = number(STATE, 'lowered_to') end
  -- Refusals of one burst are one sign, not many.
  if now - (number(STATE, 'lowered_at') or 0) > 1 then
    redis.call('HSET', STATE, 'lowered_to', math.max(1, math.floor(current / 2)), 'lowered_at', text(now))
  end
  put_off('lowered_until', now + ask.minute * ask.jitter)
end
if number(DAY, 'number') ~= ask.day_number then return end -- it speaks of a day that is over

local reset_at = number(DAY, 'reset_at')
if ask.reset_seconds then
  local told_at = now + ask.reset_seconds + ask.minute / 60 -- told in whole seconds: rather too late than too early
  if told_at - reset_at > ask.day / 2 then begin_day(told_at) end
  redis.call('HSET', DAY, 'reset_at', text(told_at), 'reset_told', 1)
  reset_at = told_at
end
if ask.limit then
  -- The source knows the calls of others; we know those of ours that it has not seen yet.
  local theirs, used = ask.limit - ask.remaining, number(DAY, 'used') or 0
  local right = math.max(theirs, math.min(used, theirs + ask.unseen_at_most))
  redis.call('HSET', DAY, 'told_limit', string.format('%d', ask.limit))
  -- What others did before we first heard of this day is no rhythm.
  local heard = redis.call('HGET', DAY, 'heard')
  redis.call('HSET', DAY, 'heard', 1)
  if right > used and heard then count('others', right - used) end
  if right > used and not heard then redis.call('HINCRBY', DAY, 'used', right - used) end
  if right < used then redis.call('HSET', DAY, 'used', string.format('%d', right)) end
end
if ask.code == 45 then
  -- Nobody told when the day begins anew: then ask once an hour, for our own idea of it may be wrong.
  local known = ask.reset_seconds or redis.call('HGET', DAY, 'reset_told')
  redis.call('HSET', DAY, 'spent_until', text(known and reset_at or math.min(reset_at, now + ask.day / 24)))
end
"""
)
