-- Sends the tokens of a file in turn, and in place of each tenth one the next of another file, where there is one.
-- Arguments: the number of threads, the file, the other file. Threads begin at different places.

local known, unknown = {}, {}
local sent, k, u = 0, 0, 0

local function requests(path)
	local list = {}
	for token in io.lines(path) do
		list[#list + 1] = wrk.format("POST", nil, nil, '{"key":"' .. token .. '","scope":"READ"}')
	end
	return list
end

function init(args)
	wrk.headers["Content-Type"] = "application/json"
	local share = number / tonumber(args[1])
	known = requests(args[2])
	k = math.floor(#known * share)
	if args[3] then
		unknown = requests(args[3])
		u = math.floor(#unknown * share)
	end
end

function request()
	sent = sent + 1
	if #unknown > 0 and sent % 10 == 0 then
		u = u % #unknown + 1
		return unknown[u]
	end
	k = k % #known + 1
	return known[k]
end
