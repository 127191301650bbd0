"""Joins what kernels_cuda_bench and cuda_torch.py measured on one GPU: each row with its peer's time and the ratio.
Writes FOLDER/<gpu>-<date>.jsonl and .md, or prints the Markdown.

usage: cuda_report.py OURS.jsonl [PEER.jsonl] [--save FOLDER] [--commit NAME] [--date YYYY-MM-DD] [--clocks TEXT]
"""
import argparse
import datetime
import json
import pathlib
import re


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.startswith("{")]


def key_of(row):
    return row["op"], row["shape"], row["dtype"]


def join(ours, peers):
    """Our rows, each with `peer`, `peer_us` and `ratio`: the peer's time over ours. The last line of a row counts."""
    known = {key_of(p): p for p in peers}
    rows = []
    for row in {key_of(r): r for r in ours}.values():
        peer = known.get(key_of(row), {})
        row = {**row, "peer": peer.get("peer"), "peer_us": peer.get("us"), "peer_spread": peer.get("spread")}
        if peer.get("error"):
            row["peer_error"] = peer["error"]
        if row.get("us") and row["peer_us"]:
            row["ratio"] = row["peer_us"] / row["us"]
        rows.append(row)
    # The bare call of cuBLAS is a peer of our products as well.
    bare = {key_of(r)[1:]: r["us"] for r in rows if r["op"] == "cublas" and r.get("us")}
    for row in rows:
        if row["op"] == "matmul" and row.get("us") and key_of(row)[1:] in bare:
            row["of_cublas"] = bare[key_of(row)[1:]] / row["us"]
    return rows


HEAD = """| row | shape | dtype | us | spread | launches | of the copy | GFLOP/s | host us | peer us | ratio |
|---|---|---|---|---|---|---|---|---|---|---|"""


def number(value):
    if value is None:
        return ""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def line_of(row):
    head = [row["op"], row["shape"], row["dtype"]]
    if "error" in row:
        return "| " + " | ".join([*head, row["error"].replace("|", "/"), *[""] * 7]) + " |"
    ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
    if ratio and row["ratio"] < 1:
        ratio = f"**{ratio}**"
    if "of_cublas" in row:
        ratio += f" ({row['of_cublas']:.2f} of cuBLAS)"
    noisy = " (noisy)" if row["spread"] > 0.2 else ""
    fraction = f"{row['fraction']:.2f}" if "fraction" in row and "gflops" not in row else ""
    return "| " + " | ".join([*head, number(row["us"]), f"{100 * row['spread']:.0f} %{noisy}", f"{row['launches']:.3g}",
                              fraction, number(row.get("gflops")), number(row["host_us"]), number(row["peer_us"]),
                              ratio]) + " |"  # fmt: skip


def markdown(title, rows, facts):
    copy = [r for r in rows if r["op"] == "copy"]
    rows = [r for r in rows if r["op"] != "copy"]
    compared = [r for r in rows if "ratio" in r]
    slower = sorted((r for r in compared if r["ratio"] < 1), key=lambda r: r["ratio"])
    failed = [r for r in rows if "error" in r]
    lines = [f"# {title}", "", ", ".join(f"{k} {v}" for k, v in facts.items() if v) + "."]
    if copy:
        lines += ["", f"The ceiling: a copy of {copy[0]['bytes'] // 2 / 2**20:.0f} MiB within the device moves "
                      f"{copy[0]['gbps']:.0f} GB/s, bytes read and written."]  # fmt: skip
    lines += [
        "", "Medians of samples of half a millisecond or one call, between device events, inputs random and taken in turn; "
        "the spread is that of the middle 80 %. `of the copy`: the bytes that the operation must read and write at the "
        "least, over the time, as a part of the ceiling. `host us`: what enqueueing a call takes; where it is near the "
        "first figure, the host is what was measured. A ratio is the peer's time over ours, bold where it is below 1.",
        "", HEAD, *(line_of(r) for r in rows), "",
        f"{len(rows)} rows, {len(failed)} not run, {len(compared)} beside a peer, {len(slower)} slower than it.",
        *(f"- {r['ratio']:.2f} {' '.join(key_of(r))}" for r in slower), "",
    ]  # fmt: skip
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours")
    parser.add_argument("peers", nargs="?")
    parser.add_argument("--save", metavar="FOLDER")
    parser.add_argument("--commit", default="")
    parser.add_argument("--date", default=str(datetime.date.today()))
    parser.add_argument("--clocks", default="", help="as found, for instance of nvidia-smi")
    options = parser.parse_args()
    rows = join(read(options.ours), read(options.peers) if options.peers else [])
    if not rows:
        parser.error(f"{options.ours} has no rows")
    peers = sorted({r["peer"] for r in rows if r["peer"]})
    facts = {"device": rows[0]["device"], "driver": rows[0]["driver"], "toolkit": rows[0]["toolkit"],
             "commit": options.commit, "clocks": options.clocks, "peer": ", ".join(peers)}  # fmt: skip
    base = f"{re.sub(r'[^a-z0-9]+', '-', facts['device'].lower()).strip('-')}-{options.date}"
    text = markdown(base, rows, facts)
    if not options.save:
        print(text)
        return
    folder = pathlib.Path(options.save)
    folder.mkdir(parents=True, exist_ok=True)
    more = {k: facts[k] for k in ("commit", "clocks") if facts[k]}
    (folder / f"{base}.jsonl").write_text("".join(json.dumps({**r, **more}) + "\n" for r in rows))
    (folder / f"{base}.md").write_text(text)
    print(f"written: {folder / base}.jsonl, {folder / base}.md")


if __name__ == "__main__":
    main()
