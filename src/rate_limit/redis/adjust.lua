-- Gives back what was taken from minutes, or counts what was used beyond it.
--
-- KEYS: the mark of what was counted so far, then the key of each minute.
-- ARGV: the mark that is expected; the time in microseconds, 0 for the server's; the instant at
-- which was taken, 0 to count more; then the amount of each minute.
--
-- Answers -1 when the mark is another one, else 1.

local MINUTE, SECOND, MOST = 60000000, 1000000, 9007199254740992

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return -1
end
local now, taken = tonumber(ARGV[2]), tonumber(ARGV[3])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end

for i = 2, #KEYS do
    local amount = tonumber(ARGV[i + 2])
    if taken > 0 and taken + MINUTE <= now then
        amount = 0
    end
    local packed = redis.call('GET', KEYS[i])
    local all = packed and cmsgpack.unpack(packed) or {}
    local entries, total = {}, 0
    for j = 1, #all, 2 do
        if all[j] + MINUTE > now and all[j] <= now + MINUTE then
            local left = all[j + 1]
            if taken > 0 and amount > 0 and all[j] >= taken then
                left = math.max(left - amount, 0)
                amount = 0
            end
            if left > 0 then
                entries[#entries + 1] = all[j]
                entries[#entries + 1] = left
                total = total + left
            end
        end
    end
    if taken == 0 then
        amount = math.min(amount, MOST - total)
        local last = entries[#entries - 1]
        if amount == 0 then
            -- There is nothing to count.
        elseif last and (now <= last or math.floor(now / SECOND) == math.floor(last / SECOND)) then
            entries[#entries - 1] = math.max(now, last)
            entries[#entries] = entries[#entries] + amount
        else
            entries[#entries + 1] = now
            entries[#entries + 1] = amount
        end
    end
    if #entries > 0 then
        redis.call('SET', KEYS[i], cmsgpack.pack(entries), 'PX', 61000)
    else
        redis.call('DEL', KEYS[i])
    end
end
return 1
