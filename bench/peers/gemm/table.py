"""Lines of gemm.cc and of `weir bench kernels` on the input, a markdown table on the output: medians of the runs ± half their range, in GOPS."""
import collections
import re
import statistics
import sys

found, shapes, kept_out = collections.defaultdict(lambda: collections.defaultdict(list)), [], {}
for line in sys.stdin:
    shape = re.search(r"rows (\d+)  inputs (\d+)  outputs (\d+)", line)
    who = re.search(r"peer (\S+)  format (\S+)", line) or re.search(r"row (\S+)  format (\S+)", line)
    if shape and who:
        name = ("" if "peer" in line else "weir, ") + f"{who[1]} {who[2]}"
        if shape[0] not in shapes:
            shapes.append(shape[0])
        found[name][shape[0]].append((float(re.search(r"GOPS ([\d.]+)", line)[1]), float(m[1]) if (m := re.search(r"percent ([\d.]+)", line)) else None))
    elif "left out" in line:
        kept_out[line.strip()] = None
    elif not shape:
        print(line.rstrip())
print("\n| GOPS, one thread | " + " | ".join(re.sub(r"\w+ (\d+)  \w+ (\d+)  \w+ (\d+)", r"\1×\2×\3", s) for s in shapes) + " |\n" + "|---" * (len(shapes) + 1) + "|")
for name, row in found.items():
    cells = []
    for s in shapes:
        rates, shares = [x for x, _ in row[s]], [y for _, y in row[s] if y]
        cells.append(f"{statistics.median(rates):.0f} ±{(max(rates) - min(rates)) / 2:.0f}" + (f" ({statistics.median(shares):.0f} %)" if shares else ""))
    print(f"| {name} | " + " | ".join(cells) + " |")
for line in kept_out:
    print(f"- {line}")
print("\nIn brackets: the share of the peak of the row's own instructions, probed beside the product.")
