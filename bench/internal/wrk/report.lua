-- What every script shares: each thread knows its number, and the result is one line of JSON.

local threads = 0

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format(
		'\nresult {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
		summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
		e.connect, e.read, e.write, e.status, e.timeout))
end
