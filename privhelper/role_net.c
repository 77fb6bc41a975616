/* SPDX-License-Identifier: ISC */
/* role_net.c: banger-privhelper: CAP_NET_ADMIN; taps, NAT, a redirect for names. See role.h. */
#include "privhelper/role.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "privhelper/sandbox.h"

static enum priv_code open_net(struct session *s)
{
	if (netlink_open(&s->nl) < 0)
		return PRIV_CODE_FAILED;
	/* Without them HELLO is refused, with a code that cannot come unasked. */
	if (nft_open(&s->nft) < 0)
		s->nft.req.fd = s->nft.events.fd = -1;
	s->dns.fds[0] = s->dns.fds[1] = -1;
	if (forward_open(&s->forward) < 0 || legacy_open(&s->legacy) < 0)
		return PRIV_CODE_FAILED;
	if (tap_dirs_open(&s->dirs) < 0)
		return PRIV_CODE_NO_TUN;
	return session_ledger(s, LEDGER_NET, netlink_netns(s->nl.fd));
}

static enum priv_code seal_net(const struct session *s)
{
	const int ledger = s->ledger.fd;
	const struct seal_row rows[] = {
		{SCMP_SYS(recvmsg), RULE_FD, SESSION_SOCK, 0, "requests"},
		{SCMP_SYS(sendmsg), RULE_FD, SESSION_SOCK, 0, "replies"},
		{SCMP_SYS(pread64), RULE_FD, ledger, 0, "ledger rows"},
		{SCMP_SYS(pwrite64), RULE_FD, ledger, 0, "ledger rows"},
		{SCMP_SYS(fdatasync), RULE_FD, ledger, 0, "intent before the device"},
		{SCMP_SYS(fcntl), RULE_FD | RULE_COMMAND, ledger, F_OFD_SETLK, "the uid's lock"},
		{SCMP_SYS(clock_nanosleep), RULE_ANY, 0, 0, "waiting for the uid's lock"},
		{SCMP_SYS(restart_syscall), RULE_ANY, 0, 0, "that wait, after SIGSTOP and SIGCONT"},
		{SCMP_SYS(sendto), RULE_FD, s->nl.fd, 0, "rtnetlink"},
		{SCMP_SYS(recvfrom), RULE_FD, s->nl.fd, 0, "rtnetlink"},
		{SCMP_SYS(ppoll), RULE_ANY, 0, 0, "waiting for a request or a changed rule set"},
		{SCMP_SYS(sendto), RULE_FD, s->nft.req.fd, 0, "nf_tables"},
		{SCMP_SYS(recvfrom), RULE_FD, s->nft.req.fd, 0, "nf_tables"},
		{SCMP_SYS(recvfrom), RULE_FD, s->nft.events.fd, 0, "others' changes of rule sets"},
		{SCMP_SYS(getsockopt), RULE_FD, s->legacy.fd, 0,
			"iptables-legacy's FORWARD policy"},
		{SCMP_SYS(pread64), RULE_FD, s->forward.value, 0, "net.ipv4.ip_forward"},
		{SCMP_SYS(openat), RULE_FD | RULE_FLAGS, s->forward.dir, O_WRONLY | O_CLOEXEC,
			"the same"},
		{SCMP_SYS(openat), RULE_FD | RULE_FLAGS, s->dirs.tun, O_RDWR | O_CLOEXEC,
			"/dev/net/tun"},
		{SCMP_SYS(openat), RULE_FD | RULE_FLAGS, s->dirs.ipv6, O_WRONLY | O_CLOEXEC,
			"IPv6 settings of a tap; never matches when ipv6_dir is -1"},
		{SCMP_SYS(write), RULE_LENGTH, 0, 1, "one digit into such a setting"},
		{SCMP_SYS(ioctl), RULE_COMMAND, 0, TUNSETIFF, "make a tap"},
		{SCMP_SYS(ioctl), RULE_COMMAND, 0, TUNSETOWNER, "give it to the user"},
		{SCMP_SYS(ioctl), RULE_COMMAND, 0, TUNSETPERSIST, "make it stay"},
		{SCMP_SYS(getsockopt), RULE_COMMAND, 0, SOL_SOCKET, "what bangerd's sockets are"},
		{SCMP_SYS(getsockname), RULE_ANY, 0, 0, "and where"},
		{SCMP_SYS(fcntl), RULE_COMMAND, 0, F_DUPFD_CLOEXEC, "a duplicate of them"},
		{SCMP_SYS(sendto), RULE_FD, s->log, 0,
			"a line for each verb; never matches when log is -1"},
		{SCMP_SYS(close), RULE_ANY, 0, 0, "taps, settings, descriptors of a bad message"},
		{SCMP_SYS(exit_group), RULE_ANY, 0, 0, "the end"},
	};

	return sandbox_seal(rows, ARRAY_SIZE(rows));
}

static int watched_net(const struct session *s)
{
	return s->nft.events.fd;
}

#define ANSWER_NET(NAME, name)	[PRIV_##NAME] = answer_##name,
#define ANSWER_BOTH(NAME, name) [PRIV_##NAME] = answer_##name,
#define ANSWER_DISK(NAME, name)

const struct role role = {
	.ledger_path = LEDGER_NET,
	.caps = 1ULL << CAP_NET_ADMIN,
	.open = open_net,
	.seal = seal_net,
	.live = net_live,
	.remove = net_remove,
	.detach = net_detach,
	.watched = watched_net,
	.mend = session_mend_rules,
	.answers =
		{
#define PRIV_VERB(NAME, name, number, helper, ...) ANSWER_##helper(NAME, name)
#include "common/priv_verbs.def"
#undef PRIV_VERB
		},
};
