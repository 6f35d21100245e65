"""Who writes what in bench/RESULTS.md: from the heading `# Ensembles` on it is bench/ensemble's, from `# Clients` on bench/client's,
before both bench/compare's. Each keeps what is the others'."""

import os
import platform
import re
import time
from pathlib import Path

from servers import java_version

PATH = Path(__file__).resolve().parent / "RESULTS.md"
ENSEMBLES, CLIENTS = "# Ensembles", "# Clients"


def made_by(command):
    return (f"Made by `{command}` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {platform.machine()}, Linux "
            f"{platform.release()}; Java server: Debian's zookeeper {java_version()}.")


def parted(text):
    """The parts of bench/compare, bench/ensemble and bench/client."""
    ends = [0]
    for heading in (ENSEMBLES, CLIENTS):
        found = re.search(f"^{heading}$", text, re.MULTILINE)
        ends.append(found.start() if found else len(text))
    ends[1] = min(ends[1], ends[2])
    return text[:ends[1]], text[ends[1]:ends[2]], text[ends[2]:]


def joined(*parts):
    return "\n\n".join(part.strip("\n") for part in parts if part.strip("\n")) + "\n"


def stored():
    return parted(PATH.read_text() if PATH.exists() else "")


def write_servers(text):
    PATH.write_text(joined(text, *stored()[1:]))


def write_ensembles(text):
    servers, _, clients = stored()
    PATH.write_text(joined(servers, text, clients))


def write_clients(text):
    PATH.write_text(joined(*stored()[:2], text))
