# SPDX-License-Identifier: ISC
"""A container image from a registry on loopback to ext4: `banger image pull` beside skopeo copy + umoci unpack + mkfs.ext4 -d.

Run by `scripts/check bench`, or as root by itself. The image is 500 MB of this machine's own files in five gzip layers. Both
sides run in turn, ROUNDS times, with nothing kept from the round before. Ends with an error when banger is the slower
one or a worker takes 64 MiB or more: these two are promised.
"""
import gzip
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from hostuser import HostUser, is_root  # noqa: E402
from kernels import write_vmlinux  # noqa: E402
from registries import LAYER, MANIFEST, RealRegistry, digest  # noqa: E402

BUILD = os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build"))
SIZE, LAYERS, ROUNDS, MEMORY_MIB = 500_000_000, 5, 2, 64


def files():
    """Of this machine, in a fixed order, until SIZE is reached."""
    total = 0
    for top in ("/usr/bin", "/usr/lib", "/usr/share"):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                total += os.lstat(path).st_size
                yield path, total
                if total >= SIZE:
                    return


def make_layers():
    """LAYERS gzip tars of about the same size."""
    layers, out, total = [], None, 0
    for path, total in files():
        if out is None:
            raw = tempfile.TemporaryFile()
            out = tarfile.open(fileobj=raw, mode="w")
        out.add(path, recursive=False)
        if total >= SIZE * (len(layers) + 1) // LAYERS:
            out.close()
            raw.seek(0)
            layers.append(subprocess.run(["gzip", "-6", "-c"], stdin=raw, stdout=subprocess.PIPE, check=True).stdout)
            raw.close()
            out = None
    return layers, total


def make_layout(folder, layers):
    """An OCI layout by hand."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data, kind):
        (blobs / digest(data)[7:]).write_bytes(data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    diffs = [digest(gzip.decompress(x)) for x in layers]
    config = put(json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diffs}, "config": {},
                             "history": [{"created_by": "bench"} for _ in layers]}).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [put(x, LAYER) for x in layers]}).encode(), MANIFEST)
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "t"}
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return f"oci:{folder}:t"


def timed(argv, **kw):
    began = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, **kw)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - began


class Peak:
    """The most resident memory that any banger-worker of the user had: the kernel keeps count, this looks often."""

    def __init__(self, user):
        self.user, self.kib, self.over = user, 0, False
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.over:
            r = subprocess.run(["pgrep", "-u", str(self.user.uid), "-x", "banger-worker"], capture_output=True, text=True)
            for pid in r.stdout.split():
                try:
                    status = pathlib.Path(f"/proc/{pid}/status").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if "VmHWM:" in status:
                    self.kib = max(self.kib, int(status.split("VmHWM:")[1].split()[0]))
            time.sleep(0.02)

    def end(self):
        self.over = True
        self.thread.join()
        return self.kib / 1024


class Banger:
    def __init__(self, user, host):
        self.user, self.host = user, host
        self.env = user.env(BANGER_PRIVHELPER="/nowhere/helper")
        for name in ("cli/banger", "daemon/bangerd", "worker/banger-worker", "guest/banger-init", "launcher/banger-launch"):
            os.makedirs(os.path.join(user.home, os.path.dirname(name)), 0o755, exist_ok=True)
            shutil.copy(os.path.join(BUILD, name), os.path.join(user.home, name))
        write_vmlinux(user.home + "/vmlinux")
        self.run("kernel", "import", user.home + "/vmlinux", "--name", "k")

    def run(self, *args):
        return timed(self.user.command([self.user.home + "/cli/banger", *args]), env=self.env)

    def round(self):
        peak = Peak(self.user)
        try:
            took = self.run("image", "pull", f"{self.host}/bench:t")
        finally:
            memory = peak.end()
        self.run("image", "delete", "bench")
        self.run("image", "prune")
        return took, memory


def others(host, folder):
    """Times of skopeo, umoci and mkfs."""
    layout, bundle, image = folder / "layout", folder / "bundle", folder / "image.ext4"
    skopeo = timed(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{host}/bench:t", f"oci:{layout}:t"])
    umoci = timed(["umoci", "unpack", "--image", f"{layout}:t", str(bundle)])
    mkfs = timed(["/usr/sbin/mkfs.ext4", "-q", "-d", str(bundle / "rootfs"), str(image), f"{SIZE * 3 // 2 >> 20}M"])
    for path in (layout, bundle):
        shutil.rmtree(path)
    image.unlink()
    return skopeo, umoci, mkfs


def measure(user, folder, registry):
    banger, ours, theirs, memory = Banger(user, registry.host), [], [], 0
    try:
        for _ in range(ROUNDS):
            took, peak = banger.round()
            ours.append(took)
            memory = max(memory, peak)
            theirs.append(others(registry.host, folder))
            print(f"  banger image pull {took:5.1f} s    skopeo {theirs[-1][0]:5.1f} + umoci {theirs[-1][1]:5.1f} + mkfs.ext4 {theirs[-1][2]:4.1f}"
                  f" = {sum(theirs[-1]):5.1f} s", flush=True)
    finally:
        subprocess.run(user.command([user.home + "/cli/banger", "daemon", "stop"]), env=banger.env, capture_output=True)
    a, b = statistics.median(ours), statistics.median(map(sum, theirs))
    print(f"  median: {a:.1f} s beside {b:.1f} s ({b / a:.1f} times); most memory of a worker: {memory:.0f} MiB")
    return a < b and 0 < memory < MEMORY_MIB  # 0: no worker was seen


def main():
    if not is_root():
        sys.exit("bench_pull: run it as root: it makes a user to measure as")
    with tempfile.TemporaryDirectory(prefix="bench-pull-") as name, HostUser("bgt-bpull", loop_limit_ms=None) as user:
        folder = pathlib.Path(name)
        layers, total = make_layers()
        print(f"pull: {total / 1e6:.0f} MB in {len(layers)} layers, {sum(map(len, layers)) / 1e6:.0f} MB packed; load {os.getloadavg()[0]:.1f}", flush=True)
        layout = make_layout(folder / "source", layers)
        registry = RealRegistry(folder)
        try:
            registry.push(layout, "bench:t")
            ok = measure(user, folder, registry)
        finally:
            registry.close()
    sys.exit(0 if ok else "bench_pull: banger is slower, or a worker took too much memory")


if __name__ == "__main__":
    main()
