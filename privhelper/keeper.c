/* SPDX-License-Identifier: ISC */
/*
 * keeper.c: banger-keeper, a small system service that holds up what fences guests in, so that no
 * process of a guest's own user has to: for each user with a slot in the ledger one table that has an owner
 * ("FENCE" in nft_rules.def), and the helper's own one anew when it is gone and no helper does it.
 *
 * Runs as a user of its own with CAP_NET_ADMIN and the ledger's group (packaging/banger-keeper.service). It
 * takes no message, no argument and no environment; it reads the configuration, the ledger and what the kernel
 * announces. It ends when the configuration or the ledger's file is replaced: systemd starts it again. Where the
 * kernel can (6.9), its tables outlive it.
 */
#include <linux/capability.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/inotify.h>
#include <time.h>

#include "privhelper/ledger.h"
#include "privhelper/netlink.h"
#include "privhelper/nft.h"
#include "privhelper/sandbox.h"

enum {
	EXIT_START = 64, /* plus the priv_code */
	/* for a helper that is there to do it, and against somebody who flushes in a loop */
	MEND_PAUSE_MS = 500,
};

struct fence {
	bool up;
	uid_t uid;
	uint64_t peers;
};

struct keeper {
	struct policy policy;
	struct ledger ledger;
	struct nft nft;
	int changes; /* inotify: of the ledger and the configuration */
	struct fence fences[BG_PRIV_USERS_MAX];
};

/* What the rows of a block say; false: no slot of it is in use. */
static bool wanted(struct keeper *k, unsigned index, struct nft_user *ret)
{
	uint64_t used = 0;

	if (ledger_look(&k->ledger, index) < 0)
		return false;
	*ret = (struct nft_user){.policy = &k->policy, .index = index, .uid = k->ledger.uid};
	for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++) {
		struct ledger_row row;
		const uint64_t bit = 1ULL << slot;

		if (ledger_get(&k->ledger, slot, &row) < 0 || row.state == LEDGER_STALE ||
			row.state == LEDGER_FREE)
			continue;
		used |= bit;
		if (row.state == LEDGER_LIVE) {
			ret->nat |= row.nat ? bit : 0;
			ret->peers |= row.peers ? bit : 0;
		}
	}
	return used != 0;
}

static bool settle(struct keeper *k, unsigned index)
{
	struct fence *f = &k->fences[index];
	struct nft_user user = {.policy = &k->policy, .index = index};
	bool up = wanted(k, index, &user);
	const struct fence now = {up, up ? user.uid : 0, up ? user.peers : 0};

	if (f->up == now.up && f->uid == now.uid && f->peers == now.peers)
		return true;
	if (nft_fence(&k->nft, &user, up) < 0)
		return false;
	*f = now;
	return true;
}

/* Only where nobody else has done it. */
static void mend(struct keeper *k)
{
	for (unsigned index = 0; index < BG_PRIV_USERS_MAX; index++) {
		struct nft_user user;

		if (k->fences[index].up && wanted(k, index, &user))
			(void)nft_restore(&k->nft, &user);
	}
}

/* Whether the files are still those that were opened. */
static bool read_changes(const struct keeper *k)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(k->changes, buf, sizeof(buf));

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(buf + at);

		if (e->mask & ~(uint32_t)IN_MODIFY)
			return false;
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return n > 0 || errno == EAGAIN || errno == EINTR;
}

/* Until a file is replaced. What the kernel refuses now is tried again with the next change, or soon. */
static void serve(struct keeper *k)
{
	const struct timespec pause = {.tv_nsec = MEND_PAUSE_MS * 1000000L};
	bool again = false, flushed = false;

	do {
		struct pollfd fds[] = {{.fd = k->changes, .events = POLLIN},
			{.fd = flushed ? -1 : k->nft.events.fd, .events = POLLIN}};
		int r;

		again = false;
		for (unsigned i = 0; i < BG_PRIV_USERS_MAX; i++)
			again |= !settle(k, i);
		r = ppoll(fds, ARRAY_SIZE(fds), again || flushed ? &pause : NULL, NULL);
		if (r == 0 && flushed)
			mend(k);
		flushed = (r > 0 && flushed) || (fds[1].revents && nft_changed(&k->nft));
		if (fds[0].revents && !read_changes(k))
			return;
	} while (true);
}

static int watch(struct keeper *k)
{
	static const uint32_t replaced = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

	k->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (k->changes < 0 || inotify_add_watch(k->changes, LEDGER_NET, IN_MODIFY | replaced) < 0)
		return -errno;
	/* A missing configuration is one as well; the folder is there with the first. */
	(void)inotify_add_watch(
		k->changes, POLICY_DIR, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE);
	return 0;
}

static enum priv_code seal(const struct keeper *k)
{
	const struct seal_row rows[] = {
		{SCMP_SYS(ppoll), RULE_ANY, 0, 0, "wait for a change"},
		{SCMP_SYS(read), RULE_FD, k->changes, 0, "what changed"},
		{SCMP_SYS(pread64), RULE_FD, k->ledger.fd, 0, "ledger rows"},
		{SCMP_SYS(sendto), RULE_FD, k->nft.req.fd, 0, "nf_tables"},
		{SCMP_SYS(recvfrom), RULE_FD, k->nft.req.fd, 0, "nf_tables"},
		{SCMP_SYS(recvfrom), RULE_FD, k->nft.events.fd, 0, "others' changes"},
		{SCMP_SYS(restart_syscall), RULE_ANY, 0, 0, "that wait, after SIGSTOP and SIGCONT"},
		{SCMP_SYS(exit_group), RULE_ANY, 0, 0, "the end"},
	};

	return sandbox_seal(rows, ARRAY_SIZE(rows));
}

static enum priv_code start(struct keeper *k)
{
	static struct nlmsg nl;
	enum priv_code code;

	if (getuid() == 0 || getuid() != geteuid())
		return PRIV_CODE_IDENTITY;
	code = sandbox_raise(1ULL << CAP_NET_ADMIN);
	if (code == PRIV_CODE_OK)
		code = policy_load(&k->policy);
	if (code != PRIV_CODE_OK)
		return code;
	if (nft_open(&k->nft) < 0)
		return PRIV_CODE_NO_NFT;
	if (netlink_open(&nl) < 0 || watch(k) < 0 ||
		ledger_open_all(&k->ledger, netlink_netns(nl.fd)) < 0)
		return PRIV_CODE_LEDGER;
	bg_close(nl.fd);
	return seal(k);
}

int main(void)
{
	static struct keeper keeper;
	enum priv_code code = start(&keeper);

	if (code != PRIV_CODE_OK)
		_exit(EXIT_START + (int)code);
	serve(&keeper);
	_exit(0);
}
