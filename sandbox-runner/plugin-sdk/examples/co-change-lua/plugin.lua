--[[
  Files that change together, in Lua: the example `co-change` once more, with the
  same settings, graph and report.

  All that is put is an absolute value, so a run over the same history leaves the
  same graph. Never holds more than MOST_PAIRS and PATH_BYTES bound.
]]

-- As many records as one put takes.
local BATCH = 256
-- A node's id is file: and the path, 512 bytes at most.
local LONGEST_PATH = 507
-- New paths are not followed when the known ones take so many bytes.
local PATH_BYTES = 16 * 1024 * 1024
-- What a path takes beside its own bytes.
local BESIDE_A_PATH = 64
-- With more pairs than this, the weakest are forgotten.
local MOST_PAIRS = 435000
-- A pair's key is the number of its lower path times this, and the other's: there
-- is room for a quarter of a million paths.
local OTHER = 2 ^ 20

-- What the operator may set: keys cochange.* of the host's configuration.
local max_files, min_weight, top = 30, 1, 20

local counted, merges, too_large, left_out, forgotten = 0, 0, 0, 0, 0

local numbers = {} -- number of a path
local paths, commits = {}, {}
local room_for_paths = PATH_BYTES

local weights, weights_count = {}, 0 -- by pair
local waiting_files, waiting_files_count = {}, 0
local waiting_pairs, waiting_pairs_count = {}, 0

-- counting -----------------------------------------------------------------------

-- Whether a path can be a node's id: exact, not too long, no control character.
local function is_an_id(file)
    local path = file.path
    return file.path_base64 == nil
        and #path <= LONGEST_PATH
        and not string.find(path, "%c")
        and not string.find(path, "\xC2[\x80-\x9F]")
end

-- The number of a path; nil for a new one without room.
local function number_of(path)
    local number = numbers[path]
    if number then
        return number
    end
    if #path + BESIDE_A_PATH > room_for_paths then
        return nil
    end
    room_for_paths -= #path + BESIDE_A_PATH
    table.insert(paths, path)
    table.insert(commits, 0)
    numbers[path] = #paths
    return #paths
end

local function wait_for(set, key)
    if set[key] then
        return 0
    end
    set[key] = true
    return 1
end

-- Counts a commit that changed these paths: sorted, each once.
local function count(changed)
    local known = {}
    for _, path in changed do
        local number = number_of(path)
        if number then
            table.insert(known, number)
        else
            left_out += 1
        end
    end
    for at, a in known do
        commits[a] += 1
        waiting_files_count += wait_for(waiting_files, a)
        for other = at + 1, #known do
            local pair = a * OTHER + known[other]
            local weight = weights[pair]
            if not weight then
                weights_count += 1
            end
            weights[pair] = (weight or 0) + 1
            waiting_pairs_count += wait_for(waiting_pairs, pair)
        end
    end
end

-- Forgets the weakest pairs until a quarter of the room is free again.
local function forget_the_weakest()
    local floor = 1
    while weights_count > math.floor(MOST_PAIRS / 4) * 3 do
        for pair, weight in weights do
            if weight <= floor then
                weights[pair] = nil
                weights_count -= 1
                forgotten += 1
            end
        end
        floor *= 2
    end
end

-- putting ------------------------------------------------------------------------

local function ends_of(pair)
    local a = math.floor(pair / OTHER)
    return a, pair - a * OTHER
end

local function id_of(number)
    return "file:" .. paths[number]
end

-- Sends a list that is full, or its rest; the list to go on with.
local function send(call, list, least)
    if #list == 0 or #list < least then
        return list
    end
    call(list)
    return {}
end

local function put()
    local list = {}
    for number in waiting_files do
        table.insert(list, { id = id_of(number), kind = "file", data = { commits = commits[number] } })
        list = send(gm.node_put, list, BATCH)
    end
    send(gm.node_put, list, 1)
    waiting_files, waiting_files_count = {}, 0
    list = {}
    for pair in waiting_pairs do
        local weight = weights[pair]
        if weight >= min_weight then
            local a, b = ends_of(pair)
            table.insert(list, { src = id_of(a), dst = id_of(b), kind = "co-change", weight = weight })
            list = send(gm.edge_put, list, BATCH)
        end
    end
    send(gm.edge_put, list, 1)
    waiting_pairs, waiting_pairs_count = {}, 0
end

-- hooks --------------------------------------------------------------------------

-- A number of the configuration within its range, if the operator set it.
local function setting(key, least, most, otherwise)
    local value = gm.config_get(key)
    if value == nil then
        return otherwise
    end
    if type(value) ~= "number" or value < least or value > most then
        error(string.format("%s must be %d to %d", key, least, most))
    end
    return value
end

function init()
    max_files = setting("cochange.max_files", 2, 200, max_files)
    min_weight = setting("cochange.min_weight", 1, 1000000, min_weight)
    top = setting("cochange.top", 0, 200, top)
end

function on_commit_analyzed(commit)
    -- A merge's difference is the sum of commits that were counted already; at a
    -- boundary it is the whole tree.
    if commit.merge or commit.boundary then
        merges += 1
        return nil
    end
    if #commit.files > max_files or (commit.files_total or 0) > max_files then
        too_large += 1
        return nil
    end
    counted += 1
    local changed, seen = {}, {}
    for _, file in commit.files do
        if not is_an_id(file) then
            left_out += 1
        elseif not seen[file.path] then
            seen[file.path] = true
            table.insert(changed, file.path)
        end
    end
    table.sort(changed)
    count(changed)
    if weights_count > MOST_PAIRS then
        put() -- first, so that the graph keeps their last weights
        forget_the_weakest()
    elseif waiting_files_count >= BATCH or waiting_pairs_count >= BATCH then
        put()
    end
    return nil
end

-- the report ---------------------------------------------------------------------

-- The heavier pair first, equal ones by path.
local function is_before(x, y)
    if x.weight ~= y.weight then
        return x.weight > y.weight
    end
    if paths[x.a] ~= paths[y.a] then
        return paths[x.a] < paths[y.a]
    end
    return paths[x.b] < paths[y.b]
end

local function strongest()
    local best = {}
    for key, weight in weights do
        local a, b = ends_of(key)
        local pair = { a = a, b = b, weight = weight }
        local at = #best + 1
        while at > 1 and is_before(pair, best[at - 1]) do
            at -= 1
        end
        if at <= top then
            table.insert(best, at, pair)
            best[top + 1] = nil
        end
    end
    return best
end

function shutdown()
    put()
    local lines = {
        string.format("%d pairs of %d files that change together, from %d commits", weights_count, #paths, counted),
        string.format(
            "passed over: %d merges and boundaries, %d commits of more than %d files",
            merges,
            too_large,
            max_files
        ),
    }
    local best = strongest()
    if #best > 0 then
        table.insert(lines, "\n  commits  of a's  of b's  a + b (commits that changed both)")
    end
    for _, pair in best do
        local of_a = math.floor(pair.weight * 100 / commits[pair.a])
        local of_b = math.floor(pair.weight * 100 / commits[pair.b])
        local share = string.format("  %7d  %5d%%  %5d%%  ", pair.weight, of_a, of_b)
        table.insert(lines, share .. paths[pair.a] .. " + " .. paths[pair.b])
    end
    if forgotten > 0 then
        local text = "\n%d of the weakest pairs were forgotten to save memory; their weights may be too low"
        table.insert(lines, string.format(text, forgotten))
    end
    if left_out > 0 then
        local text = "\n%d changes of files were left out: their paths can't be a node's id, or there are too many"
        table.insert(lines, string.format(text, left_out))
    end
    return { report = table.concat(lines, "\n") .. "\n" }
end
