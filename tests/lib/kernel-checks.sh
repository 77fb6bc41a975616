# SPDX-License-Identifier: ISC
# shellcheck shell=dash disable=SC2086 # words of a list are arguments of ip
# What banger's own kernel promises, tried inside a guest that runs it: `vm ssh NAME -- "$(cat kernel-checks.sh)"`, as root.
# A line for each: "ok NAME" or "FAILED NAME: why"; the last line is "end". Used by the tests of e2e and of the lab.
check() { # NAME COMMAND...
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then echo "ok $name"; else echo "FAILED $name: $* says $(echo "$out" | tr '\n' ' ' | cut -c1-300)"; fi
}

words() { # FILE WORD...: each is a word of it
	local file=$1 word
	shift
	for word; do grep -qwF -- "$word" "$file" || { echo "no $word in $(cat "$file")"; return 1; }; done
}

on() { # OPTION...: built in
	local option
	for option; do zgrep -q "^CONFIG_$option=y$" /proc/config.gz || { echo "$option is not"; return 1; }; done
}

has_drivers() { # BUS DRIVER...
	local bus=$1 driver
	shift
	for driver; do [ -d "/sys/bus/$bus/drivers/$driver" ] || { echo "no $driver"; return 1; }; done
}

vsock_node() { [ -c /dev/vsock ] && words /proc/net/protocols AF_VSOCK; }
no_modules() { [ ! -e /proc/modules ] && ! zgrep -q '=m$' /proc/config.gz; }
filesystems() { words /proc/filesystems ext4 overlay tmpfs fuse squashfs autofs mqueue cgroup2 proc; }
controllers() { words /sys/fs/cgroup/cgroup.controllers cpuset cpu io memory pids; }
seccomp() { words /proc/sys/kernel/seccomp/actions_avail kill_process errno user_notif log allow; }

namespaces() { unshare --uts --ipc --pid --fork --net --user --map-root-user --mount --cgroup --time true; }

overlay_mount() {
	local d
	d=$(mktemp -d -p /root) && mkdir "$d/l" "$d/u" "$d/w" "$d/m" && echo lower >"$d/l/f" &&
		mount -t overlay overlay -o "lowerdir=$d/l,upperdir=$d/u,workdir=$d/w" "$d/m" &&
		echo upper >"$d/m/f" && [ "$(cat "$d/l/f" "$d/u/f")" = "lower
upper" ] && umount "$d/m" && rm -rf "$d"
}

nft_rules() {
	nft -f - <<-END
		table inet bgt {
			chain in { type filter hook input priority 0
				ct state established,related accept
				fib daddr type local limit rate 5/second log prefix "bgt" counter accept
				tcp dport 1 reject with tcp reset
			}
			chain pre { type nat hook prerouting priority -100
				tcp dport 2 dnat ip to 192.0.2.1:3
				tcp dport 3 redirect to :4
			}
			chain post { type nat hook postrouting priority 100
				ip saddr 192.0.2.0/24 masquerade
				ip saddr 192.0.3.0/24 snat ip to 192.0.2.9
			}
		}
	END
	nft delete table inet bgt
}

# What docker, swarm, kubernetes and ufw write.
iptables_rules() { # PROGRAM
	local t=$1 d=192.0.2.1
	case $t in ip6tables*) d=2001:db8::1 ;; esac
	"$t" -t filter -N BGT && "$t" -t nat -N BGT && "$t" -t mangle -N BGT && "$t" -t raw -N BGT &&
		"$t" -A BGT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT &&
		"$t" -A BGT -m state --state NEW -m comment --comment "a b" -j RETURN &&
		"$t" -A BGT -p tcp -m multiport --dports 1,2 -m limit --limit 3/min -j LOG --log-prefix bgt &&
		"$t" -A BGT -p tcp -j REJECT --reject-with tcp-reset &&
		"$t" -A BGT -m statistic --mode random --probability 0.5 -m mark --mark 1/1 -j DROP &&
		"$t" -t nat -A BGT -m addrtype --dst-type LOCAL -j RETURN &&
		"$t" -t nat -A BGT ! -o lo -j MASQUERADE &&
		"$t" -t nat -A BGT -p tcp --dport 80 -j DNAT --to-destination "$d" &&
		"$t" -t nat -A BGT -p udp --dport 53 -j REDIRECT --to-ports 5353 &&
		"$t" -t nat -A BGT -p tcp -j SNAT --to-source "$d" &&
		"$t" -t mangle -A BGT -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu &&
		"$t" -t mangle -A BGT -j MARK --set-mark 1 &&
		"$t" -t raw -A BGT -i lo -j DROP || return 1
	for table in filter nat mangle raw; do "$t" -t $table -F BGT; "$t" -t $table -X BGT; done
}

lsms() { [ -e /proc/sys/kernel/yama/ptrace_scope ] && dmesg | grep -q "landlock: Up and running"; }

links() {
	local link_args=
	ip link delete bgt0 2>/dev/null
	for link_args in "bridge" "dummy" "wireguard" "veth peer name bgt1" "vxlan id 7 dstport 4789" "vlan:id 5" "macvlan:mode bridge" "ipvlan:mode l2"; do
		case $link_args in
		*:*) ip link add link eth0 name bgt0 type ${link_args%%:*} ${link_args#*:} ;;
		*) ip link add name bgt0 type $link_args ;;
		esac || { echo "$link_args"; return 1; }
		ip link delete bgt0 || return 1
	done
	ip tuntap add dev bgt0 mode tun && ip tuntap delete dev bgt0 mode tun
}

check kernel words /proc/sys/kernel/osrelease banger
check no_modules no_modules
check drivers has_drivers virtio virtio_blk virtio_net virtio_console virtio_balloon virtio_rng vmw_vsock_virtio_transport
check vmgenid has_drivers acpi vmgenid
check vsock vsock_node
check randomness words /sys/class/misc/hw_random/rng_current virtio_rng.0
check filesystems filesystems
check overlay overlay_mount
check controllers controllers
check joined_root on BLK_DEV_DM DM_SNAPSHOT
check cgroup_bpf on CGROUP_BPF CGROUP_DEVICE CGROUP_FREEZER CFS_BANDWIDTH BLK_DEV_THROTTLING
check seccomp seccomp
check namespaces namespaces
check lsm lsms
check links links
check bridge_netfilter test -e /proc/sys/net/bridge/bridge-nf-call-iptables
check nft nft_rules
for program in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do check $program iptables_rules $program; done
echo end
