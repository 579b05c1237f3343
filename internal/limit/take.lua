-- Counts one request against all limits of a key, or, where one has no room for it, against none.
--
-- KEYS  one for each limit: what is kept of it, its level in microseconds of this server's clock: the whole, the part, and how many
--       of that part are a microsecond, as three doubles
-- ARGV  for each limit: how many requests, the window, and what a request moves the level on by, whole and part; the part is a
--       fraction of the requests. Times are in microseconds.
--
-- Returns 1 where the request was counted, else 0; the time; and for each limit its level, the whole and the part.
--
-- Nothing is multiplied or divided, so that numbers stay below 2^53 and exact. It is the same as in gcra.go.
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = #KEYS == 1 and {call('GET', KEYS[1])} or call('MGET', unpack(KEYS))
local counted, before, after, clamped = 1, {0, now, 0, 0}, {1, now, 0, 0}, nil

for i = 1, #KEYS do
	local requests, last = tonumber(ARGV[4*i-3]), now + ARGV[4*i-2]
	local at, part = now, 0
	if kept[i] and #kept[i] == 24 then
		local of
		at, part, of = struct.unpack('>ddd', kept[i])
		if of ~= requests and part > 0 then
			at, part = at + 1, 0
		end
		if at < now then
			at, part = now, 0
		elseif at >= last then -- the window is shorter than it was, or the clock has jumped back
			at, part = last, 0
			clamped = clamped or {}
			clamped[i] = true
		end
	end
	before[2*i+1], before[2*i+2] = at, part

	at, part = at + ARGV[4*i-1], part + ARGV[4*i]
	if part >= requests then
		at, part = at + 1, part - requests
	end
	after[2*i+1], after[2*i+2] = at, part
	if at > last or (at == last and part > 0) then
		counted = 0
	end
end

local answer = counted == 1 and after or before
for i = 1, #KEYS do
	if counted == 1 or clamped and clamped[i] then
		local at, part = answer[2*i+1], answer[2*i+2]
		call('SET', KEYS[i], struct.pack('>ddd', at, part, ARGV[4*i-3]), 'PX', math.floor((at - now) / 1000) + 1)
	end
end
return answer
