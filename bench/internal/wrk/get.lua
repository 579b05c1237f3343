-- Asks with the tokens of a file in turn, as bearers. Arguments: the number of threads, the file, then name and value of each
-- header that is sent as well. Threads begin at different places.

local requests, sent = {}, 0

function init(args)
	for i = 3, #args, 2 do
		wrk.headers[args[i]] = args[i + 1]
	end
	for token in io.lines(args[2]) do
		wrk.headers["Authorization"] = "Bearer " .. token
		requests[#requests + 1] = wrk.format("GET")
	end
	sent = math.floor(#requests * number / tonumber(args[1]))
end

function request()
	sent = sent % #requests + 1
	return requests[sent]
end
