# SPDX-License-Identifier: ISC
"""The API's description of itself: the page that is made of it, a fuzzer that holds the daemon to it, and the metrics."""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader

import pytest
from conftest import BUILD, LIB

sys.path.insert(0, LIB)
import openapi  # noqa: E402

SOURCE = os.environ.get("BANGER_SOURCE", ".")
SCHEMATHESIS = "4.32.5"
VENV = os.path.abspath(os.path.join(BUILD, f"schemathesis-{SCHEMATHESIS}"))
# Streams that do not end, a connection that becomes another one, and the end of the daemon.
NOT_FUZZED = ("events", "op_follow", "vm_exec", "vm_terminal", "daemon_stop")


def render(spec):
    loader = SourceFileLoader("render_api", os.path.join(SOURCE, "scripts/render-api"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("render_api", loader))
    loader.exec_module(module)
    return module.render(spec)


def test_page_and_replies_are_as_described(daemon):
    daemon.start_ok()
    spec = daemon.call(path="/v1/openapi.json")["body"]
    assert spec["openapi"] == "3.1.0"
    with open(os.path.join(SOURCE, "docs/api.md")) as f:
        assert f.read() == render(spec), "banger daemon start; curl ... /v1/openapi.json | scripts/render-api > docs/api.md"
    for path in ("/v1/daemon", "/v1/version", "/v1/vms", "/v1/images", "/v1/kernels", "/v1/operations", "/v1/usage"):
        reply = daemon.call(path=path)
        assert openapi.check(spec, openapi.reply(spec, "GET", path), reply["body"]) == [], path
    error = daemon.call(path="/v1/vms/nobody")
    assert error["status"] == 404
    assert openapi.check(spec, {"$ref": "#/components/schemas/error_reply"}, error["body"]) == []


def test_version_is_that_of_the_command(daemon):
    daemon.start_ok()
    there = daemon.call(path="/v1/version")["body"]
    here = json.loads(daemon.banger("version", "--json").stdout)
    for key in ("version", "commit", "helper_protocol", "state_format"):
        assert there[key] == here[key], key


# ---- metrics ----

SAMPLE = re.compile(r'([a-z_]+)((?:\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})?) ([0-9.e+-]+|\+Inf)$')


def parse(text):
    """{name: {labels: value}} of what promtool would take: HELP and TYPE before the samples of a family, which stand together."""
    families, types, last = {}, {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            last = line.split()[2]
            assert last not in families, line
            families[last] = {}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == last and kind in ("gauge", "counter", "histogram"), line
            assert (kind == "counter") == name.endswith("_total"), line
            types[name] = kind
        else:
            m = SAMPLE.match(line)
            assert m, line
            name = m[1]
            if types[last] == "histogram":
                assert name in (last + "_bucket", last + "_sum", last + "_count"), line
            else:
                assert name == last, line
            assert (name, m[2]) not in families[last], line
            families[last][name, m[2]] = float(m[3])
    return families, types


def curl(daemon, path):
    r = daemon.user.run(["curl", "-sS", "--max-time", "30", "-i", "--unix-socket", daemon.socket, "http://b" + path],
                        capture_output=True, text=True, env=daemon.env, check=True)
    head, _, body = r.stdout.partition("\n\n")
    return head, body


def test_metrics_can_be_read(daemon):
    daemon.start_ok()
    head, text = curl(daemon, "/v1/metrics")
    assert "text/plain; version=0.0.4" in head
    families, types = parse(text)
    states = families["banger_vms"]
    assert states["banger_vms", '{state="running"}'] == 0 and len(states) == 10
    assert families["banger_daemon_memory_bytes"]["banger_daemon_memory_bytes", ""] > 1 << 20
    buckets = [v for (name, _), v in families["banger_loop_callback_seconds"].items() if name.endswith("_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == families["banger_loop_callback_seconds"][
        "banger_loop_callback_seconds_count", ""] > 0
    assert types["banger_vm_cpu_seconds_total"] == "counter"


# ---- schemathesis ----

@pytest.fixture(scope="module")
def schemathesis():
    """The fuzzer, in an environment of its own that later runs find again."""
    program = VENV + "/bin/schemathesis"
    if not os.path.exists(VENV + "/whole"):
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV + "/bin/pip", "-q", "install", "schemathesis==" + SCHEMATHESIS], check=True)
        open(VENV + "/whole", "w").close()
    return program


def test_schemathesis_has_no_finding(daemon, schemathesis, tmp_path):
    daemon.start_ok()
    bridge = shutil.copy(os.path.join(LIB, "bridge.py"), daemon.user.home)
    os.chmod(bridge, 0o644)
    with daemon.user.popen(["python3", bridge, daemon.socket], env=daemon.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           text=True) as p:
        url = "http://127.0.0.1:" + p.stdout.readline().strip()
        config = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemathesis.toml")
        args = [word for name in NOT_FUZZED for word in ("--exclude-operation-id", name)]
        r = subprocess.run([schemathesis, "--config-file", config, "run", url + "/v1/openapi.json", "--url", url,
                            "--phases", "examples,coverage,fuzzing", "--max-examples", "4", "--generation-deterministic",
                            "--request-timeout", "60", *args], capture_output=True, text=True, cwd=tmp_path, timeout=500)
        p.stdin.close()
    assert r.returncode == 0, r.stdout + r.stderr
    assert daemon.call()["status"] == 200
