#!/usr/bin/env python3
"""The C client library against the server under test: compiles c_client.c, runs it, restarts the server when asked."""

import os
import subprocess
import tempfile
import threading

import servers
from report import Report, main

RUN_SECONDS = 90
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "c_client.c")


def compile_client(folder):
    program = os.path.join(folder, "c_client")
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o", program, SOURCE,
                    "-lzookeeper_mt", "-lpthread"], check=True)
    return program


def drive(report, program, server):
    """Passes the program's lines on as cases; its own end is one more."""
    with subprocess.Popen([program, server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        guard = threading.Timer(RUN_SECONDS, process.kill)
        guard.start()
        for line in process.stdout:
            kind, _, text = line.strip().partition(" ")
            if kind == "ok":
                report.ok(text)
            elif kind == "FAIL":
                name, _, reason = text.partition(": ")
                report.fail(name, reason)
            elif kind == "ask":
                server.restart()
                process.stdin.write("done\n")
                process.stdin.flush()
        status = process.wait()
        guard.cancel()
    if status == 0:
        report.ok("the program ran to its end")
    else:
        report.fail("the program ran to its end", f"status {status}")


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    make = servers.factory(options)
    report = Report(f"C client against {options.server}")
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        program = report.case("compile", compile_client, folder)
        if program:
            with make(settings={"zookeeper.extendedTypesEnabled": "true"}) as server:
                report.server = server
                drive(report, program, server)
    return report.finish()


if __name__ == "__main__":
    main(run)
