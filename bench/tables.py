"""Results as a table for the terminal and as the table of docs/performance.md.

A result is a dict of `size`, `job`, `runs` (one dict per repetition: contender -> {seconds, peak_mb}) and
`same_bits` (contender -> share of its output's elements with the bits of suture's, where that was compared).
"""

import statistics

MARKERS = ("<!-- bench: begin -->", "<!-- bench: end -->")
FLOOR, OURS, SCRIPT, MERGEKIT = "cat + cp", "suture", "torch script", "mergekit"
PEERS = (SCRIPT, MERGEKIT)


def seconds(result, contender):
    return [run[contender]["seconds"] for run in result["runs"] if "seconds" in run.get(contender, ())]


def median_text(values, digits):
    return f"{statistics.median(values):.{digits}f} s" if values else "-"


def peak_mb(result, contender):
    return max((run[contender]["peak_mb"] for run in result["runs"] if contender in run), default=None)


def ratios(result):
    return [ours / floor for ours, floor in zip(seconds(result, OURS), seconds(result, FLOOR))]


def cells(result):
    """What a row shows of a result, by column."""
    ratio, peak = ratios(result), peak_mb(result, OURS)
    row = {
        "size": result["size"],
        "command": result["job"],
        "suture": median_text(seconds(result, OURS), 2),
        "cat + cp": median_text(seconds(result, FLOOR), 2),
        "ratio (range)": f"{statistics.median(ratio):.2f} ({min(ratio):.2f}-{max(ratio):.2f})" if ratio else "-",
        "peak": f"{peak:.0f} MB",
    }
    for peer in PEERS:
        times = seconds(result, peer)
        row[peer] = f"{median_text(times, 1)}, {peak_mb(result, peer):.0f} MB" if times else "-"
    return row


def without_empty(rows):
    """Leaves a peer's column out where it took part in nothing."""
    absent = [peer for peer in PEERS if all(row.get(peer) == "-" for row in rows)]
    return [{key: value for key, value in row.items() if key not in absent} for row in rows]


def as_text(rows):
    rows = without_empty(rows)
    lines = [list(rows[0])] + [list(row.values()) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ""
    for line in lines:
        padded = [cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))]
        text += "  ".join(padded).rstrip() + "\n"
    return text


def as_markdown(rows):
    rows = without_empty(rows)
    lines = [list(rows[0]), ["---", "---"] + ["---:"] * (len(rows[0]) - 2)] + [list(row.values()) for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def publish(rows, note, ground, markdown, markers):
    """Prints the table with what was measured on which `ground`; into the file `markdown`, too, if there is one."""
    print(f"\n{as_text(rows)}\n{note}")
    if markdown:
        block = f"{ground}.\n\n{as_markdown(rows)}\n{note}"
        markdown.write_text(replace_block(markdown.read_text(), block, markers))


def replace_block(text, block, markers=MARKERS):
    """`text` with `block` between the markers; ValueError where they are not there once each, in order."""
    begin, end = markers
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no single block between '{begin}' and '{end}'")
    before, after = text.split(begin)[0], text.split(end)[1]
    return f"{before}{begin}\n\n{block.strip()}\n\n{end}{after}"
