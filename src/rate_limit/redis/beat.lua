-- Lets a lease last from now on.
--
-- KEYS: the places of the lease, then the key of each limit of requests at once that it holds.
-- ARGV: the time in microseconds, 0 for the server's; the lease; the milliseconds that it lasts;
-- "adopt" to give it places that it does not hold (any more), "beat" to keep those that it does.
--
-- Answers whether the lease has a place.

local now = tonumber(ARGV[1])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end
local lease, lasts, adopt = ARGV[2], tonumber(ARGV[3]), ARGV[4] == 'adopt'
local alive = 0
for i = 2, #KEYS do
    local ends = redis.call('ZSCORE', KEYS[i], lease)
    if adopt or ends and tonumber(ends) > now then
        redis.call('ZADD', KEYS[i], now + lasts * 1000, lease)
        redis.call('PEXPIRE', KEYS[i], lasts)
        redis.call('SADD', KEYS[1], KEYS[i])
        alive = 1
    end
end
if alive == 1 then
    redis.call('PEXPIRE', KEYS[1], lasts)
end
return alive
