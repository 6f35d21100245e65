"""Who writes what in bench/RESULTS.md: from the heading `# Ensembles` on it is bench/ensemble's, before that bench/compare's. Each
keeps what is the other's."""

import os
import platform
import re
import time
from pathlib import Path

from servers import java_version

PATH = Path(__file__).resolve().parent / "RESULTS.md"
ENSEMBLES = "# Ensembles"


def made_by(command):
    return (f"Made by `{command}` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {platform.machine()}, Linux "
            f"{platform.release()}; Java server: Debian's zookeeper {java_version()}.")


def parted(text):
    """The part of bench/compare and that of bench/ensemble."""
    heading = re.search(f"^{ENSEMBLES}$", text, re.MULTILINE)
    at = heading.start() if heading else len(text)
    return text[:at], text[at:]


def joined(*parts):
    return "\n\n".join(part.strip("\n") for part in parts if part.strip("\n")) + "\n"


def stored():
    return parted(PATH.read_text() if PATH.exists() else "")


def write_servers(text):
    PATH.write_text(joined(text, stored()[1]))


def write_ensembles(text):
    PATH.write_text(joined(stored()[0], text))
