"""Judges what the clients of `load.py` noted.

A node's version orders its writes: the server says it in each reply. So linearizability is not searched for but compared:
the order of versions must agree with real time, and nobody may read what no writer wrote. Writes without an answer fill the
gaps between versions, and there must be enough of them.
"""

from load import REGISTERS, path_of


class Notes:
    """What register clients did, per register. Lists are appended to by many threads."""

    def __init__(self):
        self.writes = [[] for _ in range(REGISTERS)]
        self.reads = [[] for _ in range(REGISTERS)]

    def acknowledged(self):
        return sum(write.version is not None for writes in self.writes for write in writes)

    def judge(self, tree):
        """Raises AssertionError with the first contradiction. `tree`: what is there in the end. Returns what was looked at."""
        unknown = 0
        for register in range(REGISTERS):
            node = tree[path_of(register)]
            final = (node["data"].decode(), node["stat"].version)
            judge_register(path_of(register), self.writes[register], self.reads[register], final)
            unknown += sum(write.version is None for write in self.writes[register])
        reads = sum(map(len, self.reads))
        return f"{self.acknowledged()} acknowledged writes, {unknown} unknown ones, {reads} reads"


def judge_register(name, writes, reads, final):
    acknowledged = sorted((w for w in writes if w.version is not None), key=lambda w: w.version)
    unknown = {w.value: w for w in writes if w.version is None}
    _versions_are_single(name, acknowledged)
    _versions_agree_with_time(name, acknowledged)
    last = final[1]
    if acknowledged and acknowledged[-1].version > last:
        raise AssertionError(f"{name}: version {acknowledged[-1].version} was acknowledged, {last} is the last one")
    missing = last - len(acknowledged)  # versions count from 1: the create has 0
    if missing > len(unknown):
        raise AssertionError(f"{name}: {missing} versions without a writer, {len(unknown)} unknown writes")
    values = {w.version: w.value for w in acknowledged}
    values[0] = ""
    for version, value in [(read.version, read.value) for read in reads] + [(last, final[0])]:
        _was_written(name, values, unknown, version, value)
    _fresh_reads_are_fresh(name, acknowledged, reads)


def _versions_are_single(name, acknowledged):
    for one, next_one in zip(acknowledged, acknowledged[1:]):
        if one.version == next_one.version:
            raise AssertionError(f"{name}: version {one.version} was acknowledged for {one} and {next_one}")
        if one.zxid >= next_one.zxid:
            raise AssertionError(f"{name}: versions grow and zxids do not: {one}, {next_one}")


def _versions_agree_with_time(name, acknowledged):
    """A write that ended before another began has the lower version."""
    latest = None
    for write in acknowledged:
        if latest and write.ended < latest.began:
            raise AssertionError(f"{name}: {write} ended before {latest} began, and has the higher version")
        if latest is None or write.began > latest.began:
            latest = write


def _was_written(name, values, unknown, version, value):
    """A version has one value for all times. If no acknowledged write has it, an unknown one does, and no other version."""
    known = values.get(version)
    if known is None:
        if value not in unknown:
            raise AssertionError(f"{name}: version {version} has {value!r}, which nobody wrote")
        unknown.pop(value)
        values[version] = value
    elif known != value:
        raise AssertionError(f"{name}: version {version} has {value!r}, and had {known!r}")


def _fresh_reads_are_fresh(name, acknowledged, reads):
    """A read after a sync shows every write that had ended when the sync began."""
    ended = sorted(acknowledged, key=lambda write: write.ended)
    at, newest = 0, None
    for read in sorted((r for r in reads if r.fresh), key=lambda read: read.began):
        while at < len(ended) and ended[at].ended < read.began:
            if newest is None or ended[at].version > newest.version:
                newest = ended[at]
            at += 1
        if newest and read.version < newest.version:
            raise AssertionError(f"{name}: {read} came after {newest}")


def judge_creates(client, tree):
    """All that was acknowledged is there, all that was deleted is not."""
    for path, data, zxid in client.acknowledged:
        node = tree.get(path)
        if node is None or node["data"] != data or node["stat"].czxid != zxid:
            raise AssertionError(f"{path} was acknowledged at 0x{zxid:x}, and is {node}")
    for path in client.deleted:
        if path in tree:
            raise AssertionError(f"{path} was deleted, and is there")
    prefix = f"/load/{client.number}-"
    noted = {path for path, _, _ in client.acknowledged} | set(client.unknown)
    for path in tree:
        if path.startswith(prefix) and path not in noted:
            raise AssertionError(f"{path} is there, and nobody made it")


def judge_ephemerals(sessions, tree):
    """The ephemerals in the tree are those of these sessions, no others. `sessions`: path -> session id."""
    found = {path: node["stat"].owner for path, node in tree.items() if path.startswith("/ephemerals/")}
    if found != sessions:
        raise AssertionError(f"ephemerals {found}, expected {sessions}")
