-- Asks apikeyd whether a request may go to the API. See haproxy.cfg.

local address = os.getenv("APIKEYD")
local verify_token = os.getenv("APIKEYD_VERIFY_TOKEN")

-- The headers that say whose the key is.
local identity = {
	"x-apikey-id", "x-apikey-name", "x-apikey-organization-id", "x-apikey-user-id", "x-apikey-scope",
}

-- The headers of a refusal that are for the client.
local told = { "content-type", "www-authenticate", "retry-after", "ratelimit-policy", "ratelimit" }

local timeout = 2000 -- milliseconds; HAProxy tries four times before it gives up

-- lines returns all lines of a header, in order.
local function lines(headers, name)
	local found = {}
	local i = 0
	while headers[name] ~= nil and headers[name][i] ~= nil do
		found[#found + 1] = headers[name][i]
		i = i + 1
	end
	return found
end

local function refuse(txn, status, response)
	local reply = txn:reply({ status = status })
	if response ~= nil then
		for _, name in ipairs(told) do
			for _, line in ipairs(lines(response.headers, name)) do
				reply:add_header(name, line)
			end
		end
		reply:set_body(response.body or "")
	end
	txn:done(reply)
end

core.register_action("apikeyd", { "http-req" }, function(txn)
	local sent = txn.http:req_get_headers()
	local ask = {
		["x-forwarded-method"] = { txn.sf:method() },
		["x-forwarded-uri"] = { txn.sf:pathq() },
		["x-forwarded-for"] = { txn.sf:src() },
	}
	for _, name in ipairs({ "authorization", "x-api-key" }) do
		local found = lines(sent, name)
		if #found > 0 then
			ask[name] = found
		end
	end
	if verify_token ~= nil then
		ask["x-apikeyd-verify-token"] = { verify_token }
	end

	local client = core.httpclient()
	local response = client:get({ url = address .. "/v1/authorize", headers = ask, timeout = timeout })
	if response == nil or response.status == nil or response.status == 0 then
		return refuse(txn, 503, nil)
	end
	if response.status ~= 200 then
		return refuse(txn, math.max(response.status, 400), response)
	end

	local whose = {}
	for _, name in ipairs(identity) do
		txn.http:req_del_header(name)
		local found = lines(response.headers, name)
		if #found == 1 and found[1] ~= "" then
			txn.http:req_set_header(name, found[1])
			whose[name] = found[1]
		end
	end
	-- HAProxy says nothing where a header has found no room.
	local given = txn.http:req_get_headers()
	for _, name in ipairs(identity) do
		if lines(given, name)[1] ~= whose[name] then
			return refuse(txn, 431, nil)
		end
	end
	for name, variable in pairs({ ["ratelimit-policy"] = "txn.apikeyd_policy", ["ratelimit"] = "txn.apikeyd_state" }) do
		local found = lines(response.headers, name)
		if #found == 1 then
			txn:set_var(variable, found[1])
		end
	end
	txn:set_var("txn.apikeyd", "allowed")
end, 0)
