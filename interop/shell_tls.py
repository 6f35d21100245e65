"""Our shell over TLS, as properties ask for it: cases for `shell.py`. The server is Java's, the certificates are keytool's."""

import tempfile
import time

import servers
from report import expect, expect_true
from shell_driver import Script, Terminal, one_shot
from tls_client import Certificates, EncryptedJava

SESSION_MS = 20000
SOON_SECONDS = 10  # long before the session's timeout: a refusal is told when it comes


class World:
    """A server that wants certificates of everybody, and files with properties."""

    def __init__(self, server, port, made, program):
        self.server = server
        self.port = port
        self.made = made
        self.program = program
        self.own = made.path("own.pem")
        with open(self.own, "w", encoding="ascii") as file:
            for name in ("client.pem", "client.key"):
                with open(made.path(name), encoding="ascii") as part:
                    file.write(part.read())

    def properties(self, trust="root.pem", own="own.pem", more=()):
        path = self.made.path("client.properties")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"zookeeper.client.secure=true\nzookeeper.ssl.trustStore.location={self.made.path(trust)}\n")
            if own:
                file.write(f"zookeeper.ssl.keyStore.location={self.made.path(own)}\n")
            file.write("".join(f"{line}\n" for line in more))
        return path

    def options(self, host="localhost", port=None, **properties):
        return ["-server", f"{host}:{port or self.port}", "-timeout", str(SESSION_MS), "-client-configuration", self.properties(**properties)]

    def expect_refused(self, why, **options):
        """One line, soon, and the status of a failure."""
        words = self.options(**options)
        begin = time.monotonic()
        status, out, err = one_shot(self.program.words, *words, "ls", "/")
        wanted = f"KeeperErrorCode = ConnectionLoss for / ({words[1]}: TLS: {why})"
        expect((status, out, len(err)), (1, [], 1), f"the end: {err}")
        expect_true(err[0].startswith(wanted[:-1]) and err[0].endswith(")"), f"{err[0]!r} is {wanted!r}")
        expect_true(time.monotonic() - begin < SOON_SECONDS, f"after {time.monotonic() - begin:.1f} s")


def both_are_known(world):
    """TLS the right root and our certificate: a script, a terminal, the old flags"""
    with Script(world.program.words, *world.options()) as shell:
        shell.create("/tls secret")
        expect(shell.say("get /tls"), ["secret"])
        expect_true("x509: CN=client" in shell.say("whoami"), "who the server believes us to be")
        expect(shell.end(), 0)
    with Terminal(world.program.old_name, *world.options()) as shell:
        shell.await_prompt(0)
        expect(shell.enter("get /tls"), ["secret"])
        expect(shell.end(), 0)
    flags = f"-Dzookeeper.client.secure=true -Dzookeeper.ssl.trustStore.location={world.made.path('root.pem')} " \
            f"-Dzookeeper.ssl.keyStore.location={world.own}"
    plain = ["-server", f"localhost:{world.port}"]
    expect(one_shot(world.program.words, *plain, "get", "/tls", env={"CLIENT_JVMFLAGS": flags}), (0, ["secret"], []))


def strange_root(world):
    """TLS a server that no root vouches for"""
    world.expect_refused("invalid peer certificate: UnknownIssuer", trust="stranger.pem")


def other_name(world):
    """TLS a server of another name, and the property that lets it pass"""
    world.expect_refused('invalid peer certificate: certificate not valid for name "127.0.0.1"', host="127.0.0.1")
    words = world.options(host="127.0.0.1", more=["zookeeper.ssl.hostnameVerification=false"])
    expect(one_shot(world.program.words, *words, "get", "/tls"), (0, ["secret"], []))


def without_certificate(world):
    """TLS a server that wants a certificate, and gets none"""
    world.expect_refused("received fatal alert: ", own=None)


def wrong_ports(world):
    """TLS to a plain port, and plainly to a port for TLS"""
    world.expect_refused("the server ended the connection", port=world.server.port)
    status, out, err = one_shot(world.program.words, "-server", f"localhost:{world.port}", "-timeout", "1500", "ls", "/")
    wanted = "KeeperErrorCode = ConnectionLoss for / (no session in time; a port for TLS needs -secure)"
    expect((status, out, err), (1, [], [wanted]))


def wrong_files(world):
    """TLS with files that are of no use: told before anything is tried"""
    for options, wanted in (({"trust": "trust.p12"}, "not a PEM file; "), ({"trust": "nothing.pem"}, "No such file or directory"),
                            ({"own": "client.pem"}, "; it must hold our certificate, those above it, and the key"),
                            ({"trust": "client.key"}, "there is no root certificate")):
        status, out, err = one_shot(world.program.words, *world.options(**options), "ls", "/")
        expect((status, out, len(err)), (1, [], 1), f"{options}: {err}")
        path = world.made.path(next(iter(options.values())))
        expect_true(err[0].startswith(path + ": ") and wanted in err[0], f"{options}: {err[0]}")
    status, out, err = one_shot(world.program.words, "-secure", *world.options()[:2], "ls", "/")
    expect((status, out, len(err)), (1, [], 1), f"no properties: {err}")
    expect_true("zookeeper.ssl.trustStore.location" in err[0], err[0])


CASES = (both_are_known, strange_root, other_name, without_certificate, wrong_ports, wrong_files)


def play(report, options, program):
    chosen = [case for case in CASES if options.only in case.__doc__]
    if not chosen:
        return
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        made = report.case("certificates", Certificates, folder)
        if made is None:
            return
        port = servers.free_port()
        with EncryptedJava(settings=made.settings(), config={"secureClientPort": port}) as server:
            report.server = server
            world = World(server, port, made, program)
            for case in chosen:
                report.case(case.__doc__, case, world)
