-- For wrk: posts the file that is the first argument, over a new connection each time when there is
-- a second argument.
function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = "application/json"
   if arguments[2] then wrk.headers["Connection"] = "close" end
   file:close()
end
