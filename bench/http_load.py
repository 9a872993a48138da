#!/usr/bin/env python3
"""bench/http_load.py [--rate 500] [--clients 50] [--seconds 20] [--items 2000] [--path TARGET]: the "50 clients" of interfaces.md against a server of its own.

An open loop: requests start when their time has come, whether or not earlier ones are answered, and a time is counted from when it should have started; so a
server that stalls cannot hide it. Says p50, p99 and worst in ms, CPU seconds of the server's processes per 1,000 requests, and VmRSS of all of them, before
and after. WEIR_BIN names the program (build/weir).
"""
import argparse
import asyncio
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/http"))
from harness import Server  # noqa: E402


def processes(pid):
    out, queue = [], [pid]
    while queue:
        one = queue.pop()
        out.append(one)
        for task in pathlib.Path(f"/proc/{one}/task").iterdir():
            queue += map(int, (task / "children").read_text().split())
    return out


def cpu(pid):
    return sum(sum(map(int, pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for one in processes(pid)) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    return sum(int(line.split()[1]) for one in processes(pid) for line in pathlib.Path(f"/proc/{one}/status").read_text().splitlines() if line.startswith("VmRSS")) / 1024


async def client(server, head, schedule, times, failures):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    while schedule:
        due = schedule.pop(0)
        await asyncio.sleep(max(0, due - time.perf_counter()))
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - due)
        if not answer.startswith(b"HTTP/1.1 200"):
            failures.append(answer[:60])
    writer.close()


async def load(server, arguments, token):
    head = f"GET {arguments.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    begin = time.perf_counter() + 0.2
    count = arguments.rate * arguments.seconds
    schedules = [[begin + n / arguments.rate for n in range(worker, count, arguments.clients)] for worker in range(arguments.clients)]
    times, failures = [], []
    await asyncio.gather(*(client(server, head, schedule, times, failures) for schedule in schedules))
    return sorted(times), failures


def main():
    parser = argparse.ArgumentParser()
    for name, value in [("rate", 500), ("clients", 50), ("seconds", 20), ("items", 2000)]:
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--path", default="/api/items?limit=50")
    arguments = parser.parse_args()
    server = Server()
    try:
        pid = server.process.pid
        token = server.token("op", "write")
        source = server.ask("POST", "/api/sources", {"push": True, "title": "load"}, token=token).json()["id"]
        text = "Weir takes everything in and works out what each reader's attention should go to, and says why. " * 20
        for first in range(0, arguments.items, 500):
            items = [{"id": str(n), "url": f"https://example.org/{n}", "title": f"Item {n}", "content_html": f"<p>{n}</p><p>{text}</p>"} for n in range(first, min(first + 500, arguments.items))]
            assert server.ask("POST", f"/api/sources/{source}/items", items, token=token).status == 200
        time.sleep(12)  # parser children end when they are idle
        before, rss = cpu(pid), resident(pid)
        times, failures = asyncio.run(load(server, arguments, token))
        used = cpu(pid) - before
        n = len(times)
        print(f"{arguments.path}: {n} requests at {arguments.rate}/s over {arguments.clients} connections, {len(failures)} not 200")
        print(f"p50 {times[n // 2] * 1e3:.2f} ms, p99 {times[n * 99 // 100] * 1e3:.2f} ms, worst {times[-1] * 1e3:.1f} ms; {used / n * 1000:.3f} CPU s per 1,000 requests")
        print(f"resident: {rss:.1f} MB idle, {resident(pid):.1f} MB after")
        return 1 if failures else 0
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
