-- Counts one request against all limits of a key, or, where one has no room for it, against none.
--
-- KEYS  one for each limit: what is kept of it, "AT:PART:OF", the level AT + PART/OF in microseconds of this server's clock
-- ARGV  for each limit: how many requests, the window, and what a request moves the level on by, whole and part; the part is a
--       fraction of the requests. Times are in microseconds.
--
-- Returns 1 where the request was counted, else 0; the time; and for each limit its level, the whole and the part.
--
-- Nothing is multiplied or divided, so that numbers stay below 2^53 and exact. It is the same as in gcra.go.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = redis.call('MGET', unpack(KEYS))
local counted, level, after = 1, {}, {}

for i = 1, #KEYS do
	local requests, window = tonumber(ARGV[4*i-3]), tonumber(ARGV[4*i-2])
	local at, part, of = now, 0, requests
	if kept[i] then
		local a, p, o = string.match(kept[i], '^(%d+):(%d+):(%d+)$')
		at, part, of = tonumber(a) or now, tonumber(p) or 0, tonumber(o) or requests
	end
	if of ~= requests and part > 0 then
		at, part = at + 1, 0
	end
	local clamped = at >= now + window -- the window is shorter than it was, or the clock has jumped back
	if at < now then
		at, part = now, 0
	elseif clamped then
		at, part = now + window, 0
	end
	level[i] = {at, part, clamped}

	at, part = at + ARGV[4*i-1], part + ARGV[4*i]
	if part >= requests then
		at, part = at + 1, part - requests
	end
	after[i] = {at, part, true}
	if at > now + window or (at == now + window and part > 0) then
		counted = 0
	end
end

if counted == 1 then
	level = after
end
local answer = {counted, now}
for i = 1, #KEYS do
	local at, part, changed = unpack(level[i])
	if changed then
		redis.call('SET', KEYS[i], string.format('%.0f:%.0f:%.0f', at, part, ARGV[4*i-3]), 'PX', math.floor((at - now) / 1000) + 1)
	end
	answer[2*i+1], answer[2*i+2] = at, part
end
return answer
