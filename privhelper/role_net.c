/* SPDX-License-Identifier: ISC */
/* role_net.c: banger-privhelper: CAP_NET_ADMIN, taps. See role.h. */
#include "privhelper/role.h"

#include <linux/capability.h>

#include "privhelper/sandbox.h"

static enum priv_code open_net(struct session *s)
{
	if (netlink_open(&s->nl) < 0)
		return PRIV_CODE_FAILED;
	if (tap_dirs_open(&s->dirs) < 0)
		return PRIV_CODE_NO_TUN;
	if (ledger_open(&s->ledger, LEDGER_NET, s->uid, netlink_netns(&s->nl)) < 0)
		return PRIV_CODE_LEDGER;
	return PRIV_CODE_OK;
}

static enum priv_code seal_net(const struct session *s)
{
	const struct sandbox_fds fds = {
		SESSION_SOCK, s->ledger.fd, s->nl.fd, s->dirs.tun, s->dirs.ipv6};

	return sandbox_seal(&fds);
}

#define ANSWER_NET(NAME, name) [PRIV_##NAME] = answer_##name,
#define ANSWER_BOTH(NAME, name) [PRIV_##NAME] = answer_##name,
#define ANSWER_DISK(NAME, name)

const struct role role = {
	.ledger_path = LEDGER_NET,
	.caps = 1ULL << CAP_NET_ADMIN,
	.open = open_net,
	.seal = seal_net,
	.answers = {
#define PRIV_VERB(NAME, name, number, helper, ...) ANSWER_##helper(NAME, name)
#include "common/priv_verbs.def"
#undef PRIV_VERB
	},
};
