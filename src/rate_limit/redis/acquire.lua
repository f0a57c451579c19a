-- Takes from all limits, or from none when one of them does not admit the call.
--
-- KEYS: the mark of what was counted so far, the places of the lease, then the key of each limit.
-- ARGV: the mark that is expected; the time in microseconds, 0 for the server's; the lease, empty
-- to take nothing; the milliseconds that a lease lasts; then for each limit what it is ("minute" or
-- "parallel"), the limit, and the cost.
--
-- Answers -1 when the mark is another one: what was counted is gone. Else 1 or 0, the time, and for
-- each limit what is used, when all of it is free again, and when the call will fit: 0 now, -1 never.
--
-- A minute is a list of instants and amounts, which src/rate_limit/window.rs explains.

local MINUTE, SECOND, EXACT, MOST = 60000000, 1000000, 60, 9007199254740992

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return {-1}
end
local now = tonumber(ARGV[2])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end
local lease, lasts = ARGV[3], tonumber(ARGV[4])

local function load(key)
    local packed = redis.call('GET', key)
    local entries, total = {}, 0
    if packed then
        local all = cmsgpack.unpack(packed)
        for i = 1, #all, 2 do
            if all[i] + MINUTE > now and all[i] <= now + MINUTE then
                entries[#entries + 1] = all[i]
                entries[#entries + 1] = all[i + 1]
                total = total + all[i + 1]
            end
        end
    end
    return entries, total
end

local function fits_at(entries, over)
    local instant = now
    for i = 1, #entries, 2 do
        if over <= 0 then
            break
        end
        over = over - entries[i + 1]
        instant = entries[i] + MINUTE
    end
    return instant
end

local function add(entries, limit, amount)
    local last = entries[#entries - 1]
    if last and (now <= last
            or limit > EXACT and math.floor(now / SECOND) == math.floor(last / SECOND)) then
        entries[#entries - 1] = math.max(now, last)
        entries[#entries] = entries[#entries] + amount
    else
        entries[#entries + 1] = now
        entries[#entries + 1] = amount
    end
end

local admitted = 1
local states = {}
for i = 3, #KEYS do
    local at = 5 + (i - 3) * 3
    local state = { kind = ARGV[at], limit = tonumber(ARGV[at + 1]), cost = tonumber(ARGV[at + 2]) }
    state.fits = 0
    if state.kind == 'minute' then
        state.entries, state.used = load(KEYS[i])
        local need = math.max(state.cost, 1)
        if need > state.limit then
            state.fits = -1
        elseif state.used + need > state.limit then
            state.fits = fits_at(state.entries, state.used + need - state.limit)
        end
    else
        redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
        state.used = redis.call('ZCARD', KEYS[i])
        state.held = lease ~= '' and redis.call('ZSCORE', KEYS[i], lease)
        if state.used >= state.limit and not state.held then
            state.fits = state.limit == 0 and -1 or now + SECOND
        end
    end
    if state.fits ~= 0 then
        admitted = 0
    end
    states[i] = state
end

if admitted == 1 and lease ~= '' then
    for i = 3, #KEYS do
        local state = states[i]
        if state.kind == 'minute' then
            local amount = math.min(state.cost, MOST - state.used)
            if amount > 0 then
                add(state.entries, state.limit, amount)
                state.used = state.used + amount
                redis.call('SET', KEYS[i], cmsgpack.pack(state.entries), 'PX', 61000)
            end
        else
            redis.call('ZADD', KEYS[i], now + lasts * 1000, lease)
            redis.call('PEXPIRE', KEYS[i], lasts)
            redis.call('SADD', KEYS[2], KEYS[i])
            redis.call('PEXPIRE', KEYS[2], lasts)
            if not state.held then
                state.used = state.used + 1
            end
        end
    end
end

local answer = { admitted, now }
for i = 3, #KEYS do
    local state, free = states[i], now
    if state.used > 0 and state.kind == 'parallel' then
        free = now + lasts * 1000
    elseif state.used > 0 then
        free = state.entries[#state.entries - 1] + MINUTE
    end
    answer[#answer + 1] = state.used
    answer[#answer + 1] = free
    answer[#answer + 1] = state.fits
end
return answer
