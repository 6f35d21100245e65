#!/usr/bin/env python3
"""Our client speaks TLS with Debian's Java server: both show certificates made by keytool; wrong ones are refused."""

import argparse
import glob
import os
import subprocess
import tempfile

import servers
from process import JAVA_JARS
from report import Report, main

PASSWORD = "changeit"
DAYS = "30"
RUN_SECONDS = 60
NETTY = "org.apache.zookeeper.server.NettyServerCnxnFactory"


class EncryptedJava(servers.Java):
    """With the parts of Netty that the plain port does not need and Debian's jar does not name."""

    def command(self, config_path):
        words = super().command(config_path)
        at = words.index("-cp") + 1
        words[at] = ":".join([words[at], *sorted(glob.glob(f"{JAVA_JARS}/netty*.jar"))])
        return words


class Certificates:
    """A root, and what it vouches for: `NAME.p12` for Java, `NAME.pem` and `NAME.key` for others."""

    def __init__(self, folder):
        self.folder = folder
        self.make_root("root")
        self.make_root("stranger")
        self.make("server", "dns:localhost")
        self.make("client", "dns:client")
        self.keytool("-importcert", "-noprompt", "-alias", "root", "-file", self.path("root.pem"),
                     "-keystore", self.path("trust.p12"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def keytool(self, *words, stdin=None):
        command = ["keytool", "-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1", *words, "-storepass", PASSWORD, "-storetype", "PKCS12"]
        return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    def generate(self, name, *more):
        self.keytool("-genkeypair", "-alias", name, "-keyalg", "RSA", "-keysize", "2048", "-validity", DAYS,
                     "-dname", f"CN={name}", "-keystore", self.path(f"{name}.p12"), *more)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)

    def make_root(self, name):
        self.generate(name, "-ext", "bc:c=ca:true", "-ext", "ku:c=keyCertSign")
        self.write(f"{name}.pem", self.keytool("-exportcert", "-rfc", "-alias", name, "-keystore", self.path(f"{name}.p12")))

    def make(self, name, subject):
        """A certificate that the root signs."""
        store = self.path(f"{name}.p12")
        self.generate(name)
        wish = self.keytool("-certreq", "-alias", name, "-keystore", store)
        signed = self.keytool("-gencert", "-rfc", "-alias", "root", "-validity", DAYS, "-ext", f"san={subject}",
                              "-keystore", self.path("root.p12"), stdin=wish)
        self.write(f"{name}.pem", signed)
        self.keytool("-importcert", "-noprompt", "-alias", "root", "-file", self.path("root.pem"), "-keystore", store)
        self.keytool("-importcert", "-noprompt", "-alias", name, "-file", self.path(f"{name}.pem"), "-keystore", store)
        key = subprocess.run(["openssl", "pkcs12", "-in", store, "-nodes", "-nocerts", "-passin", f"pass:{PASSWORD}"],
                             check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
        self.write(f"{name}.key", key)

    def settings(self):
        """Of a Java server that wants a certificate of everybody."""
        ssl = {"keyStore.location": self.path("server.p12"), "keyStore.password": PASSWORD, "keyStore.type": "PKCS12",
               "trustStore.location": self.path("trust.p12"), "trustStore.password": PASSWORD, "trustStore.type": "PKCS12"}
        return {"zookeeper.serverCnxnFactory": NETTY, **{f"zookeeper.ssl.{name}": value for name, value in ssl.items()}}


def speak(program, hosts, *files):
    """Status and lines of the client."""
    done = subprocess.run([program, hosts, *files], timeout=RUN_SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout.splitlines()


def meets(program, port, made):
    status, lines = speak(program, f"localhost:{port}", made.path("root.pem"), made.path("client.pem"), made.path("client.key"))
    assert status == 0, lines
    assert lines[0] == "watch NodeDataChanged" and lines[-1] == "closed", lines
    assert "identity x509:CN=client" in lines, lines


def is_refused(reason, program, hosts, *files):
    status, lines = speak(program, hosts, *files)
    # No attempt succeeded within the time, and who waited learns why.
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f'Error: Unreachable {{ server: "{hosts}", why: "'), lines
    assert reason in lines[0], lines


def built_example():
    """Of a release if there is one, else what `cargo test --workspace` left."""
    release, debug = (os.path.join(servers.repository(), "target", kind, "examples", "encrypted") for kind in ("release", "debug"))
    return release if os.path.exists(release) else debug


def run():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=built_example(), help="the example `encrypted` of rookeeper-client, built with its feature tls")
    program = os.path.abspath(parser.parse_args().program)
    report = Report("our client over TLS against java")
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        made = report.case("certificates", Certificates, folder)
        if made is None:
            return report.finish()
        port = servers.free_port()
        with EncryptedJava(settings=made.settings(), config={"secureClientPort": port}) as server:
            report.server = server
            own = made.path("client.pem"), made.path("client.key")
            report.case("both are who they say", meets, program, port, made)
            report.case("a server of a strange root", is_refused, "UnknownIssuer", program, f"localhost:{port}", made.path("stranger.pem"), *own)
            report.case("a server of another name", is_refused, "not valid for name", program, f"127.0.0.1:{port}", made.path("root.pem"), *own)
            report.case("a client without a certificate", is_refused, "", program, f"localhost:{port}", made.path("root.pem"))
            report.case("a port without TLS", is_refused, "eof", program, f"localhost:{server.port}", made.path("root.pem"), *own)
    return report.finish()


if __name__ == "__main__":
    main(run)
