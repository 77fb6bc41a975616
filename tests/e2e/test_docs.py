# SPDX-License-Identifier: ISC
"""What README, the pages and --help show is typed as it stands there, in order, by a new user with quickstart's image. Each
command is in one of the sessions, or ELSEWHERE names the test that runs its like; nothing else passes."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from conftest import BUILD, ROOT, as_user

sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import documented  # noqa: E402

SETUP = """set -e
git config --global user.name me; git config --global user.email me@example.org; git config --global init.defaultBranch main
for d in thing site; do
    mkdir -p src/$d; cd src/$d; git init -q; printf 'test:\\n\\techo tested\\n' >Makefile; echo one >a; git add .; git commit -qm one; cd
done
echo x >site.conf; head -c 100000 /dev/zero >big.iso; printf 'test:\\n\\techo tested\\n' >Makefile
mkdir tree; /usr/sbin/mkfs.ext4 -q -d tree rootfs.ext4 32M; mkdir -p .config/fish/completions
banger image import debian.tar.zst --name default; banger image import debian.tar.zst --name debian
banger image register --name old-debian --rootfs rootfs.ext4 --kernel-ref debian
banger kernel import vmlinuz --name old-cloud; banger kernel import vmlinuz --name cloud
"""

# In order. A line that begins with a blank is not of the pages: it makes what the next one needs.
HOST_SESSION = """
banger --help
banger ls
banger op list
banger op list --all
curl --unix-socket "$(banger daemon socket)" http://banger/v1/vms
eval "$(banger completion bash)"
banger completion fish > ~/.config/fish/completions/banger.fish
banger help vm create
banger version
banger daemon status
banger daemon restart
banger vm list
banger vm list --format '{{.name}} {{.address}}'
banger top --once
banger vm stats
 banger vm create web --no-start; banger vm create web-1 --no-start; banger vm create test-1 --no-start
banger vm show web
banger vm set web --nat
banger vm set 'web-*' --label env=test
banger vm list -l env=test --filter state=running
banger vm stop $(banger vm list -q -l env=test)
banger vm delete 'test-*'
banger vm set web --memory 4G --disk-size 40G
banger ssh-config --install
banger vm rename web site
 banger vm rename site web
banger vm delete web
 banger vm delete web-1
banger image list
banger image show debian
banger image search
banger image prune
banger image register --name mine --rootfs ./rootfs.ext4 --kernel-ref debian
banger image promote mine
banger kernel list
banger kernel search
banger kernel show cloud
banger kernel delete cloud old-cloud
 rm debian.tar.zst
banger image export debian debian.tar.zst
banger image delete debian old-debian
banger image import debian.tar.zst
banger daemon stop
banger daemon start
"""

GUEST_SESSION = """
banger create web
 banger vm cp Makefile web:
banger ssh web
banger ssh web make test
banger exec web make test
banger stop web
banger vm delete web
banger vm create web --memory 2G --nat
 banger vm create db --memory 512M --no-start
banger vm start web db
banger vm ports web
banger vm logs web
banger vm ssh web
banger vm ssh web -- uname -a
banger vm ssh web -- 'cd /srv && ls | wc -l'
banger vm connect web 22 < /dev/null
 banger ssh-config --install
ssh web.vm
ssh -T -D 127.0.0.1:41080 web.vm bash < /dev/null
ssh -F none -i ~/.config/banger/ssh/id_ed25519 -o UserKnownHostsFile=~/.config/banger/ssh/known_hosts -o HostKeyAlias=web.vm root@$(banger vm list --filter name=web --format '{{.address}}') true
sftp -b /dev/null web.vm
 printf '#!/bin/sh\\n[ "$*" = "system dial-stdio" ] && exec cat\\n' | banger vm exec web -- sh -c 'cat >/usr/local/bin/docker; chmod +x /usr/local/bin/docker'
 [ "$(echo ping | ssh -l root -- web.vm docker system dial-stdio)" = ping ]
banger vm list --format '{{.name}} {{.address}} {{.ssh.key}}'
banger exec web ip link set eth0 mtu 1400
rsync -a src/ web.vm:src/
banger vm exec web systemctl status
banger vm exec web -- sha256sum < big.iso
 banger vm exec web -- mkdir -p /etc/nginx /srv/data
banger vm cp site.conf web:/etc/nginx/
banger vm cp web:/var/log ./web-log
banger vm cp web:/srv/data db:/srv
tar c src | banger vm cp - web:/srv
banger vm workspace prepare web ~/src/site
 banger vm exec web -- sh -c 'cd /root/repo && echo two >a && git -c user.name=g -c user.email=g@example.org commit -qam two'
banger vm workspace diff web
banger vm workspace pull web ~/src/site
banger vm kill --signal TERM web
banger vm stop web db
banger vm stop --all
"""

# What is one of these is run, in another place. Patterns over whole lines.
ELSEWHERE = [
    (r"\./scripts/quickstart", "scripts/check"),
    (r"(\./)?scripts/(check|lab)( .*)?", "scripts/check"),
    (r"sudo scripts/install-helper --names", "tests/lab/test_resolved.py"),
    (r"sudo nft list ruleset", "tests/priv/test_isolation.py"),
    (r"sudo firewall-cmd .*", "tests/packages/test_firewalld.py"),
    (r"scripts/publish-kernel .*|banger image export dev .* && scripts/publish-image .*", "tests/integration/registry/test_import.py"),
    (r"scripts/make-generic-kernel.*|banger kernel import build/kernel/.*", "tests/e2e/test_generic_kernel.py"),
    (r"banger kernel pull generic|banger image pull (--catalog )?debian-dev", "tests/integration/registry/test_search.py"),
    (r"banger image pull (debian:12 --name (bookworm|default)|localhost:5000/team/dev|registry\.example\.org/.*)", "tests/integration/registry/test_pull.py"),
    (r"docker save .*|banger image pull oci:.*", "tests/integration/registry/test_disk_source.py"),
    (r"(echo .* \| )?banger image build .*", "tests/e2e/test_image_from.py"),
    (r"banger vm create work --image dev --nat|banger vm exec work -- docker .*|curl -fsSL -o /tmp/editor.deb .*", "tests/e2e/test_image_from.py"),
    (r"banger image import https://.*", "tests/integration/registry/test_import.py"),
    (r"banger (vm )?run\b.*|\./try-this", "tests/e2e/test_workspace.py"),
    (r"banger vm workspace (prepare web \. --dry-run|diff web \| git apply|pull web)|git log \.\.banger/web", "tests/integration/workspace/test_workspace_back.py"),
    (r"eval \"\$\(banger completion zsh\)\"", "tests/integration/cli/test_completion.py"),
    (r"apt download .*|banger kernel import \./linux-image-\*\.deb --name cloud", "scripts/quickstart"),
    (r"banger op (show|cancel) 17", "tests/e2e/test_ops.py"),
    (r"banger vm (restart web|kill web|start 'web-\*')", "tests/e2e/test_life.py"),
    (r"banger vm (pause|suspend|resume) (web|--all)", "tests/e2e/test_suspend.py"),
    (r"banger vm set dev --expose-host 5432|banger vm exec dev -- psql .*", "tests/e2e/test_nat.py"),
    (r"banger vm prune", "tests/integration/cli/test_many.py"),
    (r"banger vm ssh web -L .*", "tests/integration/cli/test_ssh.py"),
    (r"banger vm exec -it -u postgres .*", "tests/e2e/test_terminal.py"),
    (r"banger (top|web|vm stats --watch web|vm logs -f -n 20 web)", "tests/e2e/test_terminal.py"),
    (r"banger daemon (un)?install|loginctl enable-linger", "tests/packages/test_units.py"),
    (r"banger vm set web --(autostart|restart on-failure)", "tests/e2e/test_user_unit.py"),
    (r"banger tui", "tests/integration/tui/test_tui.py"),
    (r"scripts/as-user scripts/make-picture .*", "scripts/make-picture"),
    (r"scripts/make-deb packages", "tests/packages/test_deb.py"),
    (r"sudo apt install \./packages/banger_.*|sudo usermod -aG banger \$USER", "tests/packages/test_deb_life.py"),
    (r"docker (context create web|--context web) .*", "tests/e2e/test_docs.py"),  # the ssh that docker runs, against a stand-in
    (r"banger bench .*", "tests/e2e/test_bench.py"),
    (r"banger doctor.*", "tests/integration/cli/test_doctor.py"),
]


def shown():
    def run(*words):
        return subprocess.run([os.path.join(BUILD, "cli", "banger"), *words], capture_output=True, text=True, check=True, user=65534).stdout
    return documented.of_pages(ROOT) + documented.of_help(run)


def lines(*sessions):
    return [line for session in sessions for line in session.splitlines() if line]


def test_every_command_is_run_here_or_elsewhere():
    known = set(lines(HOST_SESSION, GUEST_SESSION))
    unknown = [(where, line) for where, line in shown()
               if line not in known and not any(re.fullmatch(pattern, line) for pattern, _ in ELSEWHERE)]
    assert unknown == []
    assert [path for _, path in ELSEWHERE if not os.path.exists(os.path.join(ROOT, path))] == []


def test_nothing_is_run_that_is_not_shown():
    there = {line for _, line in shown()}
    assert [line for line in lines(HOST_SESSION, GUEST_SESSION) if not line.startswith(" ") and line not in there] == []
    assert [pattern for pattern, _ in ELSEWHERE if not any(re.fullmatch(pattern, line) for line in there)] == []


@pytest.fixture
def newcomer(make_user, banger, boot_image):
    user = make_user("bgt-docs")
    folder = tempfile.mkdtemp(prefix="bgt-docs.", dir="/var/tmp")
    try:
        os.chmod(folder, 0o777)
        bundle = os.path.join(folder, "debian.tar.zst")
        as_user([os.path.join(BUILD, "cli", "banger"), "image", "export", "default", bundle], check=True, capture_output=True)
        for path, name in ((bundle, "debian.tar.zst"), (boot_image, "vmlinuz")):
            own = shutil.copy(path, os.path.join(user.user.home, name))
            os.chown(own, user.user.uid, user.user.gid)
    finally:
        shutil.rmtree(folder)
    user.config("boot_timeout = 900\n")  # beside other tests
    user.env["PATH"] = os.path.join(BUILD, "cli") + ":" + user.env.get("PATH", "/usr/bin:/bin")
    done = typed(user, SETUP)
    assert done.returncode == 0, done
    return user


def typed(user, line):
    return user.run(["bash", "-c", "cd; set -o pipefail; " + line], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                    errors="replace", timeout=580)


def type_all(user, session):
    for line in lines(session):
        done = typed(user, line.strip())
        assert done.returncode == 0, (line, done.returncode, done.stdout[-2000:], done.stderr[-2000:])


def test_what_needs_no_guest(newcomer):
    type_all(newcomer, HOST_SESSION)


def test_what_needs_one(newcomer):
    type_all(newcomer, GUEST_SESSION)
