-- Creates keys, each with a name of its own. Arguments: the token to call with, and the organization.

local before, after, made = "", "", 0

function init(args)
	wrk.headers["Content-Type"] = "application/json"
	wrk.headers["Authorization"] = "Bearer " .. args[1]
	before = string.format('{"key_name":"Created by %d, ', number)
	after = string.format('","key_scope":["READ","CREATE"],"organization_id":%s}', args[2])
end

function request()
	made = made + 1
	return wrk.format("POST", nil, nil, before .. made .. after)
end
