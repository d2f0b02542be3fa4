"""The circuit as a Lua script that Redis runs for all processes: each decision is atomic and one round trip.

It decides as `circuit.Circuit` does; the tests compare the two. Times are of Redis's clock.
KEYS: the circuit's hash, the set of all names. ARGV: the action, the name, and the arguments of `stores.RedisStore`.
"""

from tds_core.breakers.circuit import JITTER, WINDOW_STEPS

#: How long an unused circuit is kept.
KEEP_MS = 30 * 86_400_000

_COMMON = f"""
local key, names, action, name = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', key, 'state', 'turn', 'failures_in_row', 'successes_in_row', 'reopenings',
    'wake_at_ms', 'window', 'last_success_at_ms')
local state, turn, wake_at = found[1] or 'closed', tonumber(found[2] or 0), tonumber(found[6] or 0)
local in_row, successes, reopenings = tonumber(found[3] or 0), tonumber(found[4] or 0), tonumber(found[5] or 0)
local answered_at = tonumber(found[8] or 0)

local function text(number)
    return string.format('%.0f', number)
end

local function put(...)
    redis.call('HSET', key, 'turn', text(turn), ...)
    redis.call('PEXPIRE', key, {KEEP_MS})
    if not found[2] then
        redis.call('SADD', names, name)
    end
end

local function add(field, count)
    if count > 0 then
        redis.call('HINCRBY', key, field, text(count))
    end
end

local function answer(admitted)
    local silent = answered_at > 0 and now - answered_at or -1
    if state == 'closed' then
        return {{state, turn, 0, 1, silent}}
    end
    return {{state, turn, admitted == 1 and 0 or math.max(0, wake_at - now), admitted, silent}}
end

local function change(to)
    state = to
    put('state', state, 'changed_at_ms', text(now), 'successes_in_row', '0')
    add('change_count', 1)
end

local function close()
    if state ~= 'closed' then
        change('closed')
    end
    turn = turn + 1
    wake_at = 0
    put('failures_in_row', '0', 'reopenings', '0', 'wake_at_ms', '0', 'window', '')
end
"""

_RULES = """
local rules = 5
local failures, percent, least = tonumber(ARGV[rules]), tonumber(ARGV[rules + 1]), tonumber(ARGV[rules + 2])
local step_ms, open, open_most = tonumber(ARGV[rules + 3]), tonumber(ARGV[rules + 4]), tonumber(ARGV[rules + 5])
local enough, probe_ms = tonumber(ARGV[rules + 6]), tonumber(ARGV[rules + 7])
local rejections = tonumber(ARGV[3])
add('rejection_count', rejections)
"""

_ADMIT = """
if state == 'closed' then
    return answer(1)
end
if now < wake_at then
    add('rejection_count', tonumber(ARGV[4]))
    return answer(0)
end
if state == 'open' then
    change('half-open')
end
turn = turn + 1
wake_at = now + probe_ms
put('wake_at_ms', text(wake_at))
return answer(1)
"""

_RECORD_OUTCOME = f"""
local outcome = ARGV[4]
local ours, chance, failed = tonumber(ARGV[13]) == turn, tonumber(ARGV[14]), outcome == 'failure'

local function open_up()
    change('open')
    turn = turn + 1
    wake_at = now + math.floor(math.min(open * 2 ^ math.min(reopenings, 30), open_most) * 1000
        * (1 + {JITTER} * chance))
    put('wake_at_ms', text(wake_at))
end

local function weigh()
    local step = math.floor(now / step_ms)
    local window, good, bad, seen = {{}}, 0, 0, false
    local mine_good, mine_bad = failed and 0 or 1, failed and 1 or 0
    for at, g, b in string.gmatch(found[7] or '', '(%d+) (%d+) (%d+);') do
        at, g, b = tonumber(at), tonumber(g), tonumber(b)
        if at == step then
            g, b, seen = g + mine_good, b + mine_bad, true
        end
        if at > step - {WINDOW_STEPS} then
            window[#window + 1] = text(at) .. ' ' .. text(g) .. ' ' .. text(b) .. ';'
            good, bad = good + g, bad + b
        end
    end
    if not seen then
        window[#window + 1] = text(step) .. ' ' .. text(mine_good) .. ' ' .. text(mine_bad) .. ';'
        good, bad = good + mine_good, bad + mine_bad
    end
    in_row = failed and in_row + 1 or 0
    put('failures_in_row', text(in_row), 'window', table.concat(window))
    if in_row >= failures or (good + bad >= least and bad * 100 >= percent * (good + bad)) then
        put('opened_at_ms', text(now))
        open_up()
    end
end

local function judge_probe()
    if failed then
        reopenings = reopenings + 1
        put('reopenings', text(reopenings))
        open_up()
        return
    end
    wake_at = now
    successes = successes + (outcome == 'success' and 1 or 0)
    put('wake_at_ms', text(now), 'successes_in_row', text(successes))
    if successes >= enough then
        close()
    end
end

add(outcome .. '_count', 1)
if failed then
    put('last_failure_at_ms', text(now), 'last_error', ARGV[15])
elseif outcome == 'success' then
    answered_at = now
    put('last_success_at_ms', text(now))
else
    put('state', state)
end
if ours and state == 'closed' and outcome ~= 'neither' then
    weigh()
elseif ours and state == 'half-open' then
    judge_probe()
end
return answer(0)
"""

_RESET = """
if not found[2] then
    return 0
end
close()
put('reset_by', ARGV[3])
return 1
"""

_HASTEN = """
if state ~= 'open' or wake_at <= now then
    return 0
end
put('wake_at_ms', text(now))
return 1
"""

SCRIPT = f"""{_COMMON}
if action == 'reset' then
{_RESET}
end
if action == 'hasten' then
{_HASTEN}
end
{_RULES}
if action == 'admit' then
{_ADMIT}
end
{_RECORD_OUTCOME}
"""
