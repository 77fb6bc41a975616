# SPDX-License-Identifier: ISC
"""The jobs against Debian's docker-registry, filled by skopeo."""
import gzip
import os

import pytest

from jobs import Failed, run
from registries import make_layout


def pull(host, name, folder):
    """The layers of an image, unpacked."""
    repository, reference = name.rsplit(":", 1)
    at = run("resolve", [], host=host, plain=True, repository=repository, reference=reference, name=name)
    fds = [os.open(folder / f"blob{i}", os.O_RDWR | os.O_CREAT) for i, _ in enumerate(at["layers"])]
    run("blobs", fds, host=host, plain=True, repository=repository, blobs=at["layers"])
    for fd in fds:
        os.close(fd)
    return at, [(folder / f"blob{i}").read_bytes() for i, _ in enumerate(at["layers"])]


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return make_layout(tmp_path_factory.mktemp("image"), {"etc/os-release": b"ID=test\n", "big": os.urandom(3 << 20)})


@pytest.mark.parametrize("options", [[], ["--format", "v2s2"]], ids=["oci", "docker"])
def test_pull(real, layout, tmp_path, options):
    real.push(layout, "team/dev:1", *options)
    at, blobs = pull(real.host, "team/dev:1", tmp_path)
    assert b"etc/os-release" in b"".join(map(gzip.decompress, blobs))
    again = run("resolve", [], host=real.host, plain=True, repository="team/dev", reference=at["digest"], name="again")
    assert again == at


def test_not_there(real):
    with pytest.raises(Failed) as e:
        run("resolve", [], host=real.host, plain=True, repository="no/such", reference="x", name="no/such:x")
    assert e.value.code == "registry.not_found"
