# SPDX-License-Identifier: ISC
"""A newcomer types what another tool taught them: docker, Lima, multipass, incus, podman, virsh. It does what was meant, or names the
command that does."""
import pytest

from fake_daemon import image, running, vm


def shell(line):
    return line.split()


# What is typed, and the request that it must make: method, path, a part of the body.
MEANT = [
    ("create web", "POST", "/v1/vms", {"name": "web"}),
    ("create -n web", "POST", "/v1/vms", {"name": "web"}),
    ("create --name web -m 2G", "POST", "/v1/vms", {"memory_mib": 2048}),
    ("create --name=web --mem=2G", "POST", "/v1/vms", {"memory_mib": 2048}),
    ("create web --memory 512M", "POST", "/v1/vms", {"memory_mib": 512}),
    ("create web --cpus 4", "POST", "/v1/vms", {"cpus": 4}),
    ("create web -c4", "POST", "/v1/vms", {"cpus": 4}),
    ("create web --vcpu 4", "POST", "/v1/vms", {"cpus": 4}),
    ("create web --vcpus=4", "POST", "/v1/vms", {"cpus": 4}),
    ("create web --cpu 4", "POST", "/v1/vms", {"cpus": 4}),
    ("create web --disk 20G", "POST", "/v1/vms", {"disk_mib": 20480}),
    ("create web --disk-size 20G", "POST", "/v1/vms", {"disk_mib": 20480}),
    ("create web -p 8080:80", "POST", "/v1/vms", {"publish": [{"host": 8080, "guest": 80}]}),
    ("create web -p8080:80", "POST", "/v1/vms", {"publish": [{"host": 8080, "guest": 80}]}),
    ("create web -l env=test", "POST", "/v1/vms", {"labels": {"env": "test"}}),
    ("create web --image debian --no-nat", "POST", "/v1/vms", {"nat": False}),
    ("vm create web", "POST", "/v1/vms", {"name": "web"}),
    ("start web", "POST", "/v1/vms/web/start", None),
    ("stop web", "POST", "/v1/vms/web/stop", None),
    ("stop -t 5 web", "POST", "/v1/vms/web/stop", {"timeout_s": 5}),
    ("stop --time 5 web", "POST", "/v1/vms/web/stop", {"timeout_s": 5}),
    ("stop -a", "POST", "/v1/vms/web/stop", None),
    ("restart web", "POST", "/v1/vms/web/restart", None),
    ("kill web", "POST", "/v1/vms/web/kill", None),
    ("kill -s TERM web", "POST", "/v1/vms/web/kill", {"signal": "TERM"}),
    ("rm web", "DELETE", "/v1/vms/web", None),
    ("rm -f web", "DELETE", "/v1/vms/web", None),
    ("delete web", "DELETE", "/v1/vms/web", None),
    ("delete --purge web", "DELETE", "/v1/vms/web", None),
    ("delete -p web", "DELETE", "/v1/vms/web", None),
    ("rm -fv web", "DELETE", "/v1/vms/web", None),
    ("vm rm web", "DELETE", "/v1/vms/web", None),
    ("ls", "GET", "/v1/vms", None),
    ("ps", "GET", "/v1/vms", None),
    ("ps -a", "GET", "/v1/vms", None),
    ("ps -aq", "GET", "/v1/vms", None),
    ("ps -f state=running", "GET", "/v1/vms", None),
    ("ps --filter label=env=test -q", "GET", "/v1/vms", None),
    ("ps --format {{.Name}}", "GET", "/v1/vms", None),
    ("ps --format json", "GET", "/v1/vms", None),
    ("list", "GET", "/v1/vms", None),
    ("ls -q", "GET", "/v1/vms", None),
    ("list --format json", "GET", "/v1/vms", None),
    ("vm ls", "GET", "/v1/vms", None),
    ("inspect web", "GET", "/v1/vms/web", None),
    ("show web", "GET", "/v1/vms/web", None),
    ("pause web", "POST", "/v1/vms/web/pause", None),
    ("suspend web", "POST", "/v1/vms/web/suspend", None),
    ("resume web", "POST", "/v1/vms/web/resume", None),
    ("vm inspect web", "GET", "/v1/vms/web", None),
    ("logs web", "GET", "/v1/vms/web/logs", None),
    ("logs -n 5 web", "GET", "/v1/vms/web/logs", None),
    ("logs -n5 web", "GET", "/v1/vms/web/logs", None),
    ("logs --tail 5 web", "GET", "/v1/vms/web/logs", None),
    ("logs --lines 5 web", "GET", "/v1/vms/web/logs", None),
    ("images", "GET", "/v1/images", None),
    ("image ls", "GET", "/v1/images", None),
    ("rmi debian", "DELETE", "/v1/images/debian", None),
    ("image rm debian", "DELETE", "/v1/images/debian", None),
    ("build --name dev", "POST", "/v1/images/build", {"name": "dev"}),
    ("exec web ls -l /", "POST", "/v1/vms/web/exec", {"argv": ["ls", "-l", "/"]}),
    ("exec web -- ls -l", "POST", "/v1/vms/web/exec", {"argv": ["ls", "-l"]}),
    ("exec -i web cat", "POST", "/v1/vms/web/exec", {"argv": ["cat"]}),
    ("exec -e A=1 -w /srv -u me web env", "POST", "/v1/vms/web/exec", {"env": ["A=1"], "workdir": "/srv", "user": "me"}),
    ("exec --cwd /srv web pwd", "POST", "/v1/vms/web/exec", {"workdir": "/srv"}),
]

# What is typed, and the command that the answer must name.
NAMED = [
    ("up", "banger vm run"),
    ("destroy web", "banger vm delete"),
    ("launch web", "banger vm create"),
    ("vm shutdown web", "banger vm stop"),
    ("launch --name web", "banger vm create"),
    ("info web", "banger vm show"),
    ("transfer a web:", "banger vm cp"),
    ("copy a web:", "banger vm cp"),
    ("file push a web/tmp/a", "banger vm cp"),
    ("find", "banger image search"),
    ("search debian", "banger image search"),
    ("mount . web:", "banger vm workspace prepare"),
    ("move web site", "banger vm rename"),
    ("config set web limits.cpu 2", "banger vm set"),
    ("hibernate web", "banger vm suspend"),
    ("attach web", "banger vm ssh"),
    ("port web", "banger vm ports"),
    ("console web", "banger vm logs"),
    ("purge", "banger vm prune"),
    ("commit web dev", "banger image build --from-image"),
    ("save debian", "banger image export"),
    ("load debian.tar", "banger image import"),
    ("frobnicate", "banger help"),
    ("strat web", "banger vm start"),
    ("vm lst", "banger vm list"),
    ("create web --ram 2G", "banger vm create --help"),
    ("create --imgae debian", "--image"),
    ("logs --folow web", "--follow"),
]


@pytest.fixture
def daemon(fake):
    fake.on("GET", "/v1/vms", {"vms": [running("web", labels={"env": "test"})]})
    fake.on("GET", "/v1/vms/web", running("web"))
    fake.on("GET", "/v1/images", {"images": [image("debian")]})
    fake.operation("POST", "/v1/vms", "vm.create", "web", [{"state": "done", "result": running("web")}])
    for verb in ("start", "stop", "restart", "kill", "pause", "suspend", "resume"):
        fake.operation("POST", f"/v1/vms/web/{verb}", f"vm.{verb}", "web", [{"state": "done", "result": vm("web")}])
    fake.operation("DELETE", "/v1/vms/web", "vm.delete", "web", [{"state": "done"}])
    fake.operation("DELETE", "/v1/images/debian", "image.delete", "debian", [{"state": "done"}])
    fake.operation("POST", "/v1/images/build", "image.build", "dev", [{"state": "done", "result": image("dev")}])
    fake.on("POST", "/v1/vms/web/exec", lambda conn: conn.error(409, "vm.not_running", "enough for this test"))
    fake.on("GET", "/v1/vms/web/logs", lambda conn: conn.error(409, "vm.not_running", "enough for this test"))
    return fake


@pytest.mark.parametrize("line,method,path,part", MEANT, ids=[m[0] for m in MEANT])
def test_does_what_was_meant(home, daemon, line, method, path, part):
    r = home.run(*shell(line))
    assert r.status != 2, r
    bodies = daemon.asked(method, path)
    assert bodies, (line, daemon.requests, r)
    for key, value in (part or {}).items():
        assert bodies[0][key] == value, bodies


@pytest.mark.parametrize("line,words", NAMED, ids=[n[0] for n in NAMED])
def test_names_the_right_command(home, daemon, line, words):
    r = home.run(*shell(line))
    assert r.status == 2 and words in r.err, r


def test_the_list_is_long_enough():
    lines = [m[0] for m in MEANT] + [n[0] for n in NAMED]
    assert len(lines) == len(set(lines)) and len(lines) >= 60
