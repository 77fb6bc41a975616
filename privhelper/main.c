/* SPDX-License-Identifier: ISC */
/*
 * banger-privhelper, the network helper, and banger-privhelper-disk: one main,
 * two roles (role.h). bangerd's monitor starts each with one end of a SEQPACKET
 * socketpair as descriptor 3 and nothing else; it serves the uid that started
 * it, and ends with that socket.
 *
 * Installed setgid to its ledger's group and with the role's file capabilities
 * (permitted only): see docs/privilege.md. It reads no argument,
 * no environment and no file but its configuration, ledger and the kernel's; it
 * runs no program and writes nothing but replies and a line of syslog for each verb.
 */
#include "privhelper/identity.h"
#include "privhelper/role.h"
#include "privhelper/sandbox.h"
#include "privhelper/session.h"

/* For whoever reaps it; bangerd is told by a reply where there is one. */
enum { EXIT_PROTOCOL = 1, EXIT_START = 64 /* plus the priv_code */ };

/* The stages of sandbox.h, each of which only runs after all before it. */
static enum priv_code start(struct session *s)
{
	enum priv_code code = sandbox_inherit(SESSION_SOCK);

	if (code == PRIV_CODE_OK)
		code = sandbox_raise(role.caps);
	if (code == PRIV_CODE_OK)
		code = policy_load(&s->policy);
	if (code == PRIV_CODE_OK)
		code = identity_check(SESSION_SOCK, s->policy.min_uid, &s->uid);
	if (code == PRIV_CODE_OK)
		code = role.open(s);
	s->log = session_log_open();
	if (code == PRIV_CODE_OK)
		code = sandbox_drop(role.caps, role.keeps_group ? NULL : role.ledger_path);
	if (code == PRIV_CODE_OK)
		code = role.seal(s);
	return code;
}

/* Says why it could not start. With rights that may still be there, so nothing else is done. */
static void refuse(enum priv_code code)
{
	(void)session_reply(&(struct priv_rep){.verb = PRIV_HELLO, .code = code});
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
