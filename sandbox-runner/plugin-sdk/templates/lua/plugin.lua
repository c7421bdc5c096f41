-- Counts the commits that fix something.

-- What is remembered from call to call. Every run starts anew.
local fixes = 0

function on_commit_analyzed(commit)
    if string.sub(commit.message, 1, 3) ~= "fix" then
        return nil
    end
    fixes += 1
    gm.log("info", commit.id .. " is a fix")
    return { fix = true }
end

function shutdown(stop)
    return { report = string.format("%d of %d commits are fixes", fixes, stop.events) }
end
