-- ARGV after the rules: deployment, token, asker. Replies with the answer, the circuit and the time.
local id, token, asker = take(), take(), take()
local circuit = load(id)
local answer = ask(circuit, token, asker)
if answer == 'granted' then store(id, circuit) end
return {answer, cjson.encode(circuit), int(now)}
