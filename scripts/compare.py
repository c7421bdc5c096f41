"""Makes docs/comparison.md, and the table of README.md on stdout, out of what
scripts/compare left: for each launcher a report of the harness as JSON."""

import json
import sys
from collections import defaultdict
from pathlib import Path

LAUNCHERS = ["none", "unshare", "firejail", "bubblewrap"]
TITLES = ["no sandbox", "unshare", "firejail", "bubblewrap", "gm-broker"]
GROUPS = {
    "abi": "the system-call interface",
    "process": "other processes",
    "namespace": "namespaces, mounts, identity",
    "file": "files",
    "tty": "terminal and descriptors",
    "net": "network and IPC",
    "kernel": "rare parts of the kernel",
    "resource": "memory, processes, time",
}
WORDS = {
    "CONTAINED": "stopped",
    "CONTAINED_ELSEWHERE": "stopped",
    "DEGRADED": "stopped",
    "ESCAPED": "**done**",
    "VACUOUS": "-",
    "HARNESS_ERROR": "not proved",
}
# From good to bad.
RANKS = ["-", "stopped", "not proved", "**done**"]


def rows_of(file):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "probe"]


def table(head, lines):
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def main():
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    words, titles = defaultdict(dict), {}
    for name in LAUNCHERS:
        for row in rows_of(results / f"{name}.json"):
            titles[row["id"]] = (row["group"], row["number"])
            words[row["id"]][name] = WORDS[row["verdict"]]
            # Each run has one of ours beside it; the worst of them counts.
            if (ours := row["evidence"].get("gm-broker")) is not None:
                known = words[row["id"]].get("gm-broker")
                both = [word for word in (known, WORDS[ours["verdict"]]) if word]
                words[row["id"]]["gm-broker"] = max(both, key=RANKS.index)
    columns = [*LAUNCHERS, "gm-broker"]
    for row in words.values():
        row.setdefault("gm-broker", "not proved")

    counted = []
    for group, title in GROUPS.items():
        ids = [id for id, (own, _) in titles.items() if own == group]
        possible = [id for id in ids if words[id]["none"] == "**done**"]
        stopped = [sum(words[id][name] == "stopped" for id in possible) for name in columns]
        counted.append([title, str(len(possible)), *map(str, stopped)])
    sums = [str(sum(int(line[at]) for line in counted)) for at in range(1, len(counted[0]))]
    counted.append(["all", *sums])
    short = list(table(["attacks on", "tried", *TITLES], counted))

    lines = [
        [f"GM-P-{number:04}", id, *(words[id][name] for name in columns)]
        for id, (_, number) in sorted(titles.items(), key=lambda item: item[1][1])
    ]
    version = (results / "version").read_text().strip()
    versions = (results / "versions").read_text().strip().splitlines()
    text = [
        "# The same attacks under others",
        "",
        f"Made by `scripts/compare`, with {version}; {'; '.join(versions)}.",
        "Each probe is one attack by machine code; what they are says",
        "`gm-broker harness list`. *stopped*: its effect was not there, and the kernel refused",
        "or ended it. **done**: it did what it came for. *not proved*: neither was seen, for",
        "example since the launcher gave no file or terminal to try it on. `-`: it can't be",
        "done on this kernel anyway. The others are general tools: a filter and limits of",
        "one's own can be added to each of them, and then it is their author who keeps them.",
        "",
        *short,
        "",
        "## How each was called",
        "",
    ]
    for name, title in zip(LAUNCHERS, TITLES):
        command = (results / f"{name}.command").read_text().strip()
        text.append(f"- {title}: `{command}`")
    text += ["- gm-broker: a native plugin without permissions but what a probe's row names", ""]
    text += ["## Each probe", "", *table(["", "probe", *TITLES], lines), ""]
    page.write_text("\n".join(text))
    print("\n".join(short))


main()
