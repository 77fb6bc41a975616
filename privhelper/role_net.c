/* SPDX-License-Identifier: ISC */
/* role_net.c: banger-privhelper: CAP_NET_ADMIN; taps, NAT, a redirect for names. See role.h. */
#include "privhelper/role.h"

#include <linux/capability.h>

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
	return session_ledger(s, LEDGER_NET, netlink_netns(&s->nl));
}

static enum priv_code seal_net(const struct session *s)
{
	const struct sandbox_fds fds = {.sock = SESSION_SOCK,
		.ledger = s->ledger.fd,
		.netlink = s->nl.fd,
		.nft = s->nft.req.fd,
		.nft_events = s->nft.events.fd,
		.log = s->log,
		.legacy = s->legacy.fd,
		.tun_dir = s->dirs.tun,
		.ipv6_dir = s->dirs.ipv6,
		.ipv4_dir = s->forward.dir,
		.ip_forward = s->forward.value};

	return sandbox_seal(&fds);
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
	.watched = watched_net,
	.mend = session_mend_rules,
	.answers =
		{
#define PRIV_VERB(NAME, name, number, helper, ...) ANSWER_##helper(NAME, name)
#include "common/priv_verbs.def"
#undef PRIV_VERB
		},
};
