# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2034 # the lists of packages are for those who source it
# common.sh: what quickstart, check and as-user share. Sourced; sets root (the checkout) and build.
set -euo pipefail
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BANGER_BUILD_DIR:-$root/build}

build_packages=(build-essential meson ninja-build pkg-config libevent-dev libjansson-dev libsqlite3-dev
	libcap-ng-dev libseccomp-dev libarchive-dev libcurl4-openssl-dev libssl-dev libext2fs-dev libncurses-dev libsodium-dev
	libcap2-bin ca-certificates scdoc)
run_packages=(libcurl4 qemu-system-x86 mmdebstrap uidmap openssh-client iproute2 sudo)
# What the style of the tree is judged with: another version of clang-format has another layout.
style_packages=(clang-format shellcheck python3 python3-pytest python3-pytest-timeout python3-venv)
test_packages=("${style_packages[@]}" clang clang-tidy libclang-rt-14-dev llvm e2fsprogs btrfs-progs kmod cpio
	busybox-static strace sqlite3 nftables iptables tmux zsh fish binutils xz-utils zstd curl git openssl umoci skopeo
	docker-registry flex bison dnf zypper pacman-package-manager rpm createrepo-c
	linux-source rsync attr mandoc)

# A browser and what drives it: the web suite alone installs them.
web_packages=(chromium python3-venv fonts-dejavu-core)
deb_packages=(debhelper lintian fakeroot)
rpm_packages=(rpm rpmlint)
# The packages that a machine with a systemd in it is made of (tests/lib/sdmachine.py).
test_packages+=(systemd dbus-user-session libpam-systemd)

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
note() { printf '\033[1m==>\033[0m %s\n' "$*"; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# USER "": this process, whose groups may be older than the user's.
in_group() { # USER GROUP
	# shellcheck disable=SC2086
	id -nG ${1:+"$1"} | tr ' ' '\n' | grep -qx "$2"
}

# apt-get update runs only when something is missing: a repeated run asks no mirror.
need_packages() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	note "installing ${missing[*]}"
	as_root apt-get -qq update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" \
		</dev/null >"${TMPDIR:-/tmp}/banger-apt.$$.log" 2>&1 || {
		tail -20 "${TMPDIR:-/tmp}/banger-apt.$$.log" >&2
		die "apt-get could not install ${missing[*]}"
	}
	rm -f "${TMPDIR:-/tmp}/banger-apt.$$.log"
}

compile() { # BUILD_DIR [meson options]
	local dir=$1
	shift
	[ -f "$dir/build.ninja" ] || meson setup "$@" "$dir" "$root" >"$dir.setup.log" 2>&1 || {
		cat "$dir.setup.log" >&2
		die "meson setup failed"
	}
	rm -f "$dir.setup.log"
	ninja -C "$dir" >"$dir/ninja.log" 2>&1 || { grep -v '^\[' "$dir/ninja.log" | tail -40 >&2; die "the build failed: $dir/ninja.log"; }
}

# The installed helper is made anew only when the built one differs.
need_helper() {
	local built=$build/privhelper/banger-privhelper installed=/usr/libexec/banger/banger-privhelper
	if as_root cmp -s "$built" "$installed" && as_root cmp -s "$build/privhelper/banger-keeper" "${installed%/*}/banger-keeper" && [ -n "$(as_root getcap "$(readlink -m "$installed")")" ] && [ -w /dev/net/tun ]; then
		return 0
	fi
	note "installing the network helper"
	as_root "$root/scripts/install-helper" "$build"
}
