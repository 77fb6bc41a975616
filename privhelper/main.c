/* SPDX-License-Identifier: ISC */
/*
 * banger-privhelper: the network helper. bangerd's monitor starts it with one
 * end of a SEQPACKET socketpair as descriptor 3 and nothing else; it serves the
 * uid that started it, and ends with that socket.
 *
 * Installed setgid to the ledger's group and with the file capability
 * cap_net_admin and cap_net_bind_service (permitted only): see docs/privilege.md. It reads no argument,
 * no environment and no file but its configuration, ledger and the kernel's; it
 * runs no program and writes nothing but replies.
 */
#include "privhelper/identity.h"
#include "privhelper/sandbox.h"
#include "privhelper/session.h"

/* For whoever reaps it; bangerd is told by a reply where there is one. */
enum { EXIT_PROTOCOL = 1, EXIT_START = 64 /* plus the priv_code */ };

static enum priv_code open_all(struct session *s)
{
	enum priv_code code = policy_load(&s->policy);

	if (code != PRIV_CODE_OK)
		return code;
	if (netlink_open(&s->nl) < 0)
		return PRIV_CODE_FAILED;
	/* Without them HELLO is refused, with a code that cannot come unasked. */
	if (nft_open(&s->nft) < 0)
		s->nft.fd = s->nft.events = -1;
	if (forward_open(&s->forward) < 0 || legacy_open(&s->legacy) < 0)
		return PRIV_CODE_FAILED;
	if (tap_dirs_open(&s->dirs) < 0)
		return PRIV_CODE_NO_TUN;
	if (ledger_open(&s->ledger, s->uid, netlink_netns(&s->nl)) < 0)
		return PRIV_CODE_LEDGER;
	return PRIV_CODE_OK;
}

/* The stages of sandbox.h, each of which only runs after all before it. */
static enum priv_code start(struct session *s)
{
	struct sandbox_fds fds;
	enum priv_code code = sandbox_inherit(SESSION_SOCK);

	if (code == PRIV_CODE_OK)
		code = sandbox_raise();
	if (code == PRIV_CODE_OK)
		code = identity_check(SESSION_SOCK, &s->uid);
	if (code == PRIV_CODE_OK)
		code = open_all(s);
	if (code == PRIV_CODE_OK)
		code = sandbox_drop(LEDGER_PATH);
	fds = (struct sandbox_fds){.sock = SESSION_SOCK,
		.ledger = s->ledger.fd,
		.netlink = s->nl.fd,
		.nft = s->nft.fd,
		.nft_events = s->nft.events,
		.legacy = s->legacy.fd,
		.tun_dir = s->dirs.tun,
		.ipv6_dir = s->dirs.ipv6,
		.ipv4_dir = s->forward.dir,
		.ip_forward = s->forward.value};
	if (code == PRIV_CODE_OK)
		code = sandbox_seal(&fds);
	return code;
}

/* Says why it could not start. With rights that may still be there, so nothing else is done. */
static void refuse(enum priv_code code)
{
	const struct priv_rep rep = {.verb = PRIV_HELLO, .code = code};
	struct priv_msg msg;

	if (priv_rep_encode(&rep, &msg) >= 0)
		(void)priv_msg_send(SESSION_SOCK, &msg);
}

int main(void)
{
	static struct session session;
	enum priv_code code = start(&session);

	if (code != PRIV_CODE_OK) {
		refuse(code);
		_exit(EXIT_START + (int)code);
	}
	_exit(dispatch_run(&session) ? 0 : EXIT_PROTOCOL);
}
