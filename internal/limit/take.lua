-- Counts one request against all limits of a key, or, where one has no room for it, against none.
--
-- KEYS  one for each limit: what is kept of it, four doubles: its level in microseconds of this server's clock, the whole and the
--       part; how many of that part are a microsecond; and until when it is kept at least
-- ARGV  for each limit four doubles: how many requests, the window, and what a request moves the level on by, whole and part; the
--       part is a fraction of the requests. Times are in microseconds.
--
-- Returns doubles: 1 where the request was counted, else 0; the time; and for each limit four as they are kept, of which the level is
-- that with this request.
--
-- Of the level nothing is multiplied or divided, so that numbers stay below 2^53 and exact. It is the same as in gcra.go.
local call, pack, unpack = redis.call, struct.pack, struct.unpack
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local counted, levels, lives, clamped = 1, '', nil, nil
local spare = 10 -- milliseconds: a life counts from when the script began, which is before now

for i = 1, #KEYS do
	local requests, window, whole, rest = unpack('>dddd', ARGV[i])
	local last, at, part, till = now + window, now, 0, 0
	local kept = call('GET', KEYS[i])
	if kept and #kept == 32 then
		local of
		at, part, of, till = unpack('>dddd', kept)
		if of ~= requests and part > 0 then
			at, part = at + 1, 0
		end
		if at < now then
			at, part = now, 0
		elseif at >= last then -- the window is shorter than it was, or the clock has jumped back
			at, part, till = last, 0, 0
			clamped = clamped or {}
			clamped[i] = pack('>dddd', last, 0, requests, last)
		end
	end

	at, part = at + whole, part + rest
	if part >= requests then
		at, part = at + 1, part - requests
	end
	if at > last or (at == last and part > 0) then
		counted = 0
	end
	-- It is costly to say anew for how long it is kept, so that it is kept for somewhat longer, and not said each time.
	local more = window / 10
	if at >= till or till > last + more then
		till = at + more
		lives = lives or {}
		lives[i] = math.floor((till - now) / 1000) + spare
	end
	levels = levels .. pack('>dddd', at, part, requests, till)
end

if counted == 1 then
	for i = 1, #KEYS do
		local level = #KEYS == 1 and levels or string.sub(levels, 32*i-31, 32*i)
		if lives and lives[i] then
			call('SET', KEYS[i], level, 'PX', lives[i])
		else
			call('SET', KEYS[i], level, 'KEEPTTL')
		end
	end
elseif clamped then
	for i, level in pairs(clamped) do
		call('SET', KEYS[i], level, 'PX', math.floor((unpack('>d', level) - now) / 1000) + spare)
	end
end
return pack('>dd', counted, now) .. levels
