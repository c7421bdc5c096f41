-- Requests to a listener of the host's, however its address is written, and to what
-- a cloud tells its machines. Any public host is granted.
local urls = {
    "http://127.0.0.1:PORT/", "http://[::1]:PORT/", "http://0.0.0.0:PORT/", "http://2130706433:PORT/",
    "http://017700000001:PORT/", "http://0x7f.1:PORT/", "http://127.1:PORT/", "http://localhost:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/", "http://user@127.0.0.1:PORT/", "http://example.com@127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/", "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/",
    "http://[::]:PORT/", "http://localhost.:PORT/", "file:///etc/passwd", "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_x", "http://10.0.0.1/",
}

function attack(variant, words)
    local answer
    if variant < #urls then
        local url = string.gsub(urls[variant + 1], "PORT", words.tcp)
        answer = gm.http_request({ method = "GET", url = url })
    elseif variant == #urls then
        answer = gm.http_request({ method = "GET", url = "http://example.com/", headers = { { "X-A", "b\r\nHost: 127.0.0.1" } } })
    else
        answer = gm.http_request({ method = "GET /x HTTP/1.1\r\nX:", url = "http://127.0.0.1:" .. words.tcp .. "/" })
    end
    return "ok", answer.status, answer.body
end
